"""A net whose attention chose where to look, and the gradient that the choices have nevertheless.

    loss = -log p(y | a)                                          a the choices, drawn; the mean over the symbols of y
    gradient += that of the surrogate of (R_t, log p(a_t))        R_t = sum over i >= t of log p(y_i | a)

A choice bears on what follows it, so its reward is what follows: less variance, and no bias. Xu et al. 2015 take all of
log p(y | a) for each. How many symbols follow is known, so the baseline is so many times the mean of one.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saccade.attention.hard import Choices
from saccade.attention.score_function import following
from saccade.nets.projection import Projection


class ChosenProjection(NamedTuple):
    """A `Projection` after choices, one a symbol: its cross-entropy has the gradient of the expected one, estimated."""

    projection: Projection
    choices: Choices
    """Log-probability and entropy (b, t) of each choice."""
    known: Float[Tensor, "b t h"]
    """What was known before each choice, for a learned baseline."""
    score_function: nn.Module

    def logits(self) -> Float[Tensor, "*b v"]:
        return self.projection.logits()

    def log_probs(self) -> Float[Tensor, "*b v"]:
        return self.projection.log_probs()

    def cross_entropy(
        self, targets: Int[Tensor, "b t"], ignore: int, label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """As of `Projection`, to the last bit; with the gradient of the choices beside its own."""
        loss = self.projection.cross_entropy(targets, ignore, label_smoothing)
        if not torch.is_grad_enabled():
            return loss
        rewards = self.projection.rewards(targets, ignore, label_smoothing)
        return with_choices(loss, rewards, targets != ignore, self.choices, self.known, self.score_function)


def with_choices(
    loss: Float[Tensor, ""],
    rewards: Float[Tensor, "b t"],
    kept: Bool[Tensor, "b t"],
    choices: Choices,
    known: Float[Tensor, "b t h"],
    score_function: nn.Module,
) -> Float[Tensor, ""]:
    """The loss, to the last bit, and with its own the gradient of the choices.

    Args:
        loss: the mean over the steps that are kept.
        rewards: of each step, 0 where it is not kept.
        kept: the steps that count.
        choices: log-probability and entropy of each choice.
        known: what was known before each.
        score_function: the estimator.
    """
    to_come = following(kept.to(rewards.dtype))  # which no choice changes
    surrogate = score_function(
        following(rewards)[kept], choices.log_prob[kept], choices.entropy[kept], known[kept], to_come[kept]
    )
    mean: Tensor = surrogate.sum() / kept.sum().clamp(min=1)
    return loss + (mean - mean.detach())


def each_choice(memories: tuple[Choices, ...]) -> Choices:
    """Log-probability and entropy (b, t) of each look, of the running sums after each."""
    sums = (torch.stack(parts, 1) for parts in zip(*memories, strict=True))
    return Choices(*(torch.diff(part, dim=1, prepend=torch.zeros_like(part[:, :1])) for part in sums))
