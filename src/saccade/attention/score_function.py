"""The score-function estimator of the gradient of an expected reward. Williams 1992, REINFORCE; Mnih & Gregor 2014.

    grad E[R] = E[(R - b) grad log p(a)]                       for any baseline b that does not depend on a
    surrogate = -lambda_r (R - b) log p(a) - lambda_e H(p)     its gradient is the estimate, with the sign of a loss

a choices, R reward, b baseline, H entropy, which keeps the choices from collapsing (Xu et al. 2015, arXiv:1502.03044,
section 4.1). For hard attention R = log p(y | a), and minimising -R adds R's own gradient: together they are the
gradient of the bound L_s = E[log p(y | a)] <= log p(y). For glimpses R may be 1 for a right answer, as in RAM (Mnih et
al. 2014, arXiv:1406.6247), or the log-probability of the right answer.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput


class ScoreFunction(nn.Module):
    """The surrogate loss of choices, with a baseline.

    Args:
        baseline: "none"; "moving", an exponential moving average of past rewards (Xu et al. 2015); or "learned", that
            average plus a linear function of features known before the choice, in units of the rewards' moving
            deviation (Mnih & Gregor 2014, arXiv:1402.0030, who also divide the residual by the deviation).
        features: number of these features, for a learned baseline.
        decay: decay of the moving average.
        reward_weight: lambda_r.
        entropy_weight: lambda_e.
        reward: the reward of a choice among several, as `summed` adds it up: the steps that follow it, or the whole
            sequence (Xu et al. 2015), which is unbiased too and has more variance.

    Raises:
        InvalidInput: another baseline or reward; a learned one without `features`, or another one with them; a decay
            or a weight out of range.
    """

    # buffers, if there is a baseline
    mean: Tensor  # mean reward per term
    variance: Tensor  # of the rewards around their expected values
    seen: Tensor

    def __init__(
        self,
        baseline: Literal["none", "moving", "learned"] = "moving",
        *,
        features: int | None = None,
        decay: float = 0.9,
        reward_weight: float = 1.0,
        entropy_weight: float = 0.0,
        reward: Literal["following", "whole"] = "following",
    ) -> None:
        super().__init__()
        if baseline not in ("none", "moving", "learned"):
            raise InvalidInput(f"a baseline must be none, moving or learned, not {baseline!r}")
        if (baseline == "learned") != (features is not None):
            raise InvalidInput(f"give features for a learned baseline, and only for it; baseline is {baseline!r}")
        if not 0 <= decay < 1:
            raise InvalidInput(f"a decay must be at least 0 and below 1, not {decay}")
        for name, weight in (("reward", reward_weight), ("entropy", entropy_weight)):
            if not 0 <= weight < math.inf:
                raise InvalidInput(f"the weight of the {name} must be at least 0 and finite, not {weight}")
        if reward not in ("following", "whole"):
            raise InvalidInput(f"a reward must be following or whole, not {reward!r}")
        self.baseline, self.decay, self.reward = baseline, decay, reward
        self.reward_weight, self.entropy_weight = reward_weight, entropy_weight
        self.predict = None if features is None else nn.Linear(features, 1)
        if self.predict is not None:
            nn.init.zeros_(self.predict.weight)
            nn.init.zeros_(self.predict.bias)
        if baseline != "none":
            self.register_buffer("mean", torch.zeros(()))
            self.register_buffer("variance", torch.zeros(()))
            self.register_buffer("seen", torch.zeros((), dtype=torch.bool))

    def summed(self, rewards: Float[Tensor, "b t"]) -> Float[Tensor, "b t"]:
        """The reward of the choice at each step, from the rewards of the steps."""
        return following(rewards) if self.reward == "following" else rewards.sum(1, True).expand_as(rewards)

    def forward(
        self,
        rewards: Float[Tensor, "*b"],
        log_probs: Float[Tensor, "*b"],
        entropies: Float[Tensor, "*b"] | None = None,
        features: Float[Tensor, "*b f"] | None = None,
        terms: Float[Tensor, "*b"] | None = None,
    ) -> Float[Tensor, "*b"]:
        """The surrogate of each choice, to be summed or averaged like the rest of the loss.

        Raises:
            InvalidInput: shapes that differ; rewards that are not finite; a learned baseline without features.

        Args:
            rewards: R, including later rewards if there are several choices; no gradient passes through it.
            log_probs: log p(a).
            entropies: H(p); by default there is no such term.
            features: features known before the choice; a learned baseline's squared error is part of the surrogate, and
                no gradient passes through them.
            terms: number of terms that each reward sums, such as the words that follow a choice, if no choice changes
                it; the baseline is multiplied by it. 1 by default.
        """
        if not rewards.shape == log_probs.shape == (log_probs if entropies is None else entropies).shape:
            raise InvalidInput(
                f"rewards must have the shape of the log-probabilities, {tuple(log_probs.shape)}, "
                f"not {tuple(rewards.shape)}"
            )
        terms = torch.ones_like(rewards) if terms is None else terms
        if terms.shape != rewards.shape:
            raise InvalidInput(
                f"the numbers of terms must have the shape of the rewards, {tuple(rewards.shape)}, "
                f"not {tuple(terms.shape)}"
            )
        rewards = rewards.detach()
        if not bool(rewards.isfinite().all()):  # the moving average would never recover
            which = tuple((~rewards.isfinite()).nonzero()[0].tolist())
            raise InvalidInput(f"rewards must be finite, but the one at {which} is {float(rewards[which])}")
        expected, missed = self._baseline(rewards, terms, features)
        surrogate = missed - self.reward_weight * (rewards - expected) * log_probs
        if entropies is not None:
            surrogate = surrogate - self.entropy_weight * entropies
        # updated after its use: a baseline that includes this reward would bias the estimate
        if self.baseline != "none" and self.training and bool(terms.sum() > 0):
            self._remember(rewards, terms)
        return surrogate

    def _baseline(self, rewards: Tensor, terms: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """The expected reward, and the squared error of the learned part, which is minimised."""
        nothing = torch.zeros_like(rewards)
        if self.baseline == "none":
            return nothing, nothing
        mean, deviation = self._moments(rewards, terms)
        if self.predict is None:
            return mean, nothing
        if features is None:
            raise InvalidInput("a learned baseline needs features")
        predicted = self.predict(features.detach())[..., 0]
        # in units of the deviation, or it would dominate the loss; at first there is no deviation yet
        missed = (predicted - (rewards - mean) / deviation).square() * self.seen.to(rewards.dtype)
        return mean + deviation * predicted.detach(), missed

    def _moments(self, rewards: Tensor, terms: Tensor) -> tuple[Tensor, Tensor]:
        """Moving average of the rewards so far, and their deviation; 0 and 1 if there were none."""
        deviation = self.variance.to(rewards.dtype).clamp(min=1e-6).sqrt()
        return self.mean.to(rewards.dtype) * terms, torch.where(self.seen, deviation, torch.ones_like(deviation))

    @torch.no_grad()
    def _remember(self, rewards: Tensor, terms: Tensor) -> None:
        kept = self.decay * self.seen.to(self.mean.dtype)
        self.mean.copy_(kept * self.mean + (1 - kept) * rewards.sum() / terms.sum())
        self.variance.copy_(kept * self.variance + (1 - kept) * (rewards - self.mean * terms).square().mean())
        self.seen.fill_(True)


def following(rewards: Float[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """For each step, the sum of its reward and all later ones: a choice has no effect on earlier rewards."""
    return rewards.flip(1).cumsum(1).flip(1)
