"""Hard attention: one key is chosen. Xu et al. 2015, arXiv:1502.03044, section 4.1.

    w_t = softmax_k(v . tanh(W s_t + U h_k + b)),   a_t ~ w_t,   c_t = h_{a_t}

s query, h keys. A choice has no gradient. The estimators that replace it:

    score-function      none through the context, only through the log-probability of the choice (`ScoreFunction`)
    straight-through    the gradient of the soft weights (Bengio et al. 2013, arXiv:1308.3432)
    gumbel              a_t = arg max(log w_t + g), g Gumbel noise, which samples from w_t; the gradient is that of
                        softmax((log w_t + g) / tau) (Jang et al. 2017, arXiv:1611.01144)

The first estimate is unbiased; the other two are biased, and usually have less variance. With a probability, 0.5 in the
paper, a sequence in training reads the expected contexts sum_k w_k h_k instead, which brings the scores a gradient
without noise (section 4.2).
"""

from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from saccade.attention.additive import AdditiveAttention
from saccade.attention.content import Prepared, check_query
from saccade.attention.reading import Reading
from saccade.core.errors import InvalidInput
from saccade.core.masks import score_mask

Estimator = Literal["score-function", "straight-through", "gumbel"]


class Choices(NamedTuple):
    """The log-probability of all choices so far, and the sum of their entropies, in nats."""

    log_prob: Float[Tensor, "*b"]
    entropy: Float[Tensor, "*b"]


class SomeChoices(NamedTuple):
    """The same where only some sequences choose; the others read expected contexts."""

    log_prob: Float[Tensor, "*b"]
    entropy: Float[Tensor, "*b"]
    sampled: Bool[Tensor, "*b"]
    """Which sequences choose."""


class HardAttention(AdditiveAttention):
    """Additive attention to a single key (Xu et al. 2015): sampled in training, the most probable in evaluation.

    Args:
        query_size: features of a query.
        key_size: features of a key.
        width: features of the hidden layer that computes the scores.
        estimator: how the gradient is estimated.
        temperature: tau, for gumbel only.
        soft: probability that a sequence in training reads the expected contexts, at every step.

    Raises:
        InvalidInput: another estimator, a temperature that is not above 0, a probability not from 0 to 1; a call with
            many queries at once, since the choices would get no reward; as for `AdditiveAttention`.
    """

    def __init__(
        self,
        query_size: int,
        key_size: int,
        width: int,
        *,
        estimator: Estimator = "score-function",
        temperature: float = 1.0,
        soft: float = 0.0,
    ) -> None:
        super().__init__(query_size, key_size, width)
        if estimator not in get_args(Estimator):
            raise InvalidInput(f"an estimator must be one of {', '.join(get_args(Estimator))}, not {estimator!r}")
        if not temperature > 0:
            raise InvalidInput(f"a temperature must be above 0, not {temperature}")
        if not 0 <= soft <= 1:
            raise InvalidInput(f"the probability of expected contexts must be from 0 to 1, not {soft}")
        self.estimator, self.temperature, self.soft = estimator, temperature, soft

    def initial_state(  # type: ignore[override]
        self, prepared: Prepared, generator: torch.Generator | None = None
    ) -> Choices | SomeChoices:
        """The state before the first read, which decides whether a sequence chooses. A generator makes that
        reproducible."""
        dtype = torch.promote_types(prepared.values.dtype, torch.float32)
        nothing = torch.zeros(len(prepared.values), dtype=dtype, device=prepared.values.device)
        if not self.soft or not self.training:
            return Choices(nothing, nothing)
        drawn = torch.rand(len(nothing), generator=generator, device=nothing.device)
        return SomeChoices(nothing, nothing, drawn >= self.soft)

    def read(  # type: ignore[override]
        self,
        query: Float[Tensor, "b d"],
        prepared: Prepared,
        state: Choices | SomeChoices,
        generator: torch.Generator | None = None,
        choice: Int[Tensor, " b"] | None = None,
    ) -> Reading:
        """Read with one query, from the state after the last read. The weights are one-hot, or soft where the sequence
        does not choose; with nothing to attend they are zero.

        Args:
            generator: makes the sample reproducible.
            choice: the keys to read, instead of a sample.

        Raises:
            InvalidInput: sizes that do not match; a choice of a key that does not exist.
        """
        check_query(query, self.query_size, len(prepared.values))
        queries = query[:, None]
        mask = score_mask(prepared.mask, self._shape(queries, prepared))
        scores = self._scores(queries, prepared).to(state.log_prob.dtype)
        log_weights = log_softmax_of(scores, mask)[:, 0]
        if not log_weights.shape[1]:  # without keys there is no choice
            weights = self.weights(log_weights.to(prepared.values.dtype)[:, None])
            return Reading((weights @ prepared.values)[:, 0], weights[:, 0], state)
        if choice is not None:
            check_choice(choice, *log_weights.shape)
        noise = self._noise(log_weights, generator) if self.training else 0.0
        chosen = (log_weights + noise).argmax(1) if choice is None else choice
        weights = F.one_hot(chosen, log_weights.shape[1]).to(log_weights.dtype)
        if self.estimator != "score-function":
            cooled = log_weights if self.estimator == "straight-through" else (log_weights + noise) / self.temperature
            soft = cooled.softmax(1)
            weights = weights + (soft - soft.detach())  # exactly one-hot
        log_prob = log_weights.gather(1, chosen[:, None])[:, 0]
        if isinstance(state, SomeChoices):
            weights = torch.where(state.sampled[:, None], weights, log_weights.exp())
            log_prob = torch.where(state.sampled, log_prob, 0.0)
        entropy = -(log_weights.exp() * log_weights.masked_fill(log_weights.isneginf(), 0.0)).sum(1)  # 0 log 0 is 0
        if mask is not None:  # with nothing to attend there is no choice, and no entropy
            empty = ~mask.any(-1)[:, 0]
            log_prob, entropy = log_prob.masked_fill(empty, 0.0), entropy.masked_fill(empty, 0.0)
            weights = weights.masked_fill(empty[:, None], 0.0)
        weights = self.weights(weights.to(prepared.values.dtype)[:, None])
        context = torch.bmm(weights, prepared.values)[:, 0]
        after = state._replace(log_prob=state.log_prob + log_prob, entropy=state.entropy + entropy)
        return Reading(context, weights[:, 0], after)

    def forward(self, *_: Any, **__: Any) -> Tensor:
        raise InvalidInput(
            "hard attention takes one query at a time: call prepare, initial_state, then read for each query"
        )

    def _noise(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """Standard Gumbel noise: added to log-probabilities, the position of the maximum is a sample from them."""
        uniform = torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype)
        tiny = torch.finfo(like.dtype).tiny
        return -(-uniform.clamp(min=tiny).log()).clamp(min=tiny).log()


def check_choice(choice: Tensor, sequences: int, keys: int) -> None:
    """Check that each sequence has chosen a key that exists; masked keys have probability 0.

    Raises:
        InvalidInput: naming the sequence.
    """
    if choice.shape != (sequences,):
        raise InvalidInput(f"choices must be ({sequences},), one per sequence, not {tuple(choice.shape)}")
    outside = (choice < 0) | (choice >= keys)
    if bool(outside.any()):
        row = int(outside.nonzero()[0])
        raise InvalidInput(f"sequence {row} cannot choose key {int(choice[row])} of {keys}")


def log_softmax_of(scores: Float[Tensor, "b q k"], mask: Bool[Tensor, "b #q k"] | None) -> Float[Tensor, "b q k"]:
    """Log-probabilities; -inf where the mask is False, uniform in rows with nothing to attend."""
    if mask is None:
        return scores.log_softmax(-1)
    empty = ~mask.any(-1, keepdim=True)
    return scores.masked_fill(empty, 0.0).masked_fill(~(mask | empty), -torch.inf).log_softmax(-1)
