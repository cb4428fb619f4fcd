"""The training loss of a net with hard attention, and the estimated gradient of its choices.

    loss = -log p(y | a)                                          a the sampled choices; the mean over the symbols of y
    gradient += gradient of the surrogate of (R_t, log p(a_t))    R_t = sum over i >= t of log p(y_i | a)

A choice affects only later symbols, so its reward is their log-probability, which reduces the variance without bias. Xu
et al. 2015 use the whole of log p(y | a) for each choice; the estimator decides. The number of symbols is known, so the
baseline is that number times the mean reward of one symbol. A sequence that read expected contexts has no choices.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saccade.attention.hard import Choices, SomeChoices
from saccade.attention.score_function import ScoreFunction, following
from saccade.nets.projection import Projection


class ChosenProjection(NamedTuple):
    """A `Projection` given choices, one per symbol; its cross-entropy has an estimate of the gradient of its
    expectation."""

    projection: Projection
    choices: Choices | SomeChoices
    """The log-probability and the entropy (b, t) of each choice."""
    known: Float[Tensor, "b t h"]
    """Features known before each choice, for a learned baseline."""
    score_function: ScoreFunction

    def logits(self) -> Float[Tensor, "*b v"]:
        return self.projection.logits()

    def log_probs(self) -> Float[Tensor, "*b v"]:
        return self.projection.log_probs()

    def cross_entropy(
        self, targets: Int[Tensor, "b t"], ignore: int, label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """Exactly the value of `Projection`, with the gradient of the choices added to its own."""
        loss = self.projection.cross_entropy(targets, ignore, label_smoothing)
        if not torch.is_grad_enabled():
            return loss
        rewards = self.projection.rewards(targets, ignore, label_smoothing)
        return with_choices(loss, rewards, targets != ignore, self.choices, self.known, self.score_function)


def with_choices(
    loss: Float[Tensor, ""],
    rewards: Float[Tensor, "b t"],
    kept: Bool[Tensor, "b t"],
    choices: Choices | SomeChoices,
    known: Float[Tensor, "b t h"],
    score_function: ScoreFunction,
) -> Float[Tensor, ""]:
    """The loss, unchanged, with the gradient of the choices added to its own.

    Args:
        loss: the mean over the kept steps.
        rewards: reward of each step, 0 where it is not kept.
        kept: True at the steps that count.
        choices: log-probability and entropy of each choice.
        known: features known before each choice.
        score_function: the estimator.
    """
    counts = kept.to(rewards.dtype)
    rewards, terms = score_function.summed(rewards), score_function.summed(counts)
    chosen = following(counts) > 0  # a choice at a step that does not count still changes the later ones
    if isinstance(choices, SomeChoices):
        chosen = chosen & choices.sampled
    surrogate = score_function(
        rewards[chosen], choices.log_prob[chosen], choices.entropy[chosen], known[chosen], terms[chosen]
    )
    mean: Tensor = surrogate.sum() / kept.sum().clamp(min=1)
    return loss + (mean - mean.detach())


def each_choice(memories: tuple[Choices | SomeChoices, ...]) -> Choices | SomeChoices:
    """The log-probability and the entropy (b, t) of each choice, from their running sums."""

    def each(sums: list[Tensor]) -> Tensor:
        stacked = torch.stack(sums, 1)
        return torch.diff(stacked, dim=1, prepend=torch.zeros_like(stacked[:, :1]))

    log_prob, entropy = each([memory.log_prob for memory in memories]), each([memory.entropy for memory in memories])
    if isinstance(memories[0], SomeChoices):
        return SomeChoices(log_prob, entropy, memories[0].sampled[:, None].expand_as(log_prob))
    return Choices(log_prob, entropy)
