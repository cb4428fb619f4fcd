"""One look of one module, formed when it is asked for.

    w_qk = exp(s_qk - l_q),   s_qk = scale (q_q . k_k) + bias_qk,   l_q = log sum_k exp(s_qk)

A fused kernel gives l, the log-sum-exp of each row, and so the weights of a few rows, or to a few keys, cost no more
than those. Where it gives none, a softmax over all keys of those rows takes its place. What is held is references to
queries and keys, and no weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Rows = slice | list[int] | Tensor
Needed = list[Any]  # tensors that a map is made of, and None where there is none


class Asked(NamedTuple):
    """Which heads, queries and keys are wanted, by their places; None: all."""

    heads: Rows | None = None
    queries: Rows | None = None
    keys: Rows | None = None


class Looked(NamedTuple):
    """What the weights of a fused kernel are made of.

    `bias` is added to the scores, and is of their shape, where 1 stands for all; of a mask that is bool True = may be
    attended. `causal`: query i sees keys 0 to i. `log_sum_exp` is of the shape (b, h, q), where there is one.
    """

    query: Float[Tensor, "b h q d"]
    keys: Float[Tensor, "b g k d"]
    scale: float
    bias: Tensor | None = None
    causal: bool = False
    log_sum_exp: Float[Tensor, "b h q"] | None = None


Form = Callable[[Needed, Asked], Tensor]


@dataclass(frozen=True, eq=False)
class Bounds:
    """What is kept of a map: these heads and queries, None: all; of the heads their mean or the largest weight; of the
    keys so many that each query looks at most, the others' weights being 0."""

    heads: Rows | None = None
    queries: Rows | None = None
    reduce: Literal["mean", "max"] | None = None
    top: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bounds) and all(
            one is two for one, two in zip(vars(self).values(), vars(other).values(), strict=True)
        )

    def axes(self, axes: tuple[str, ...]) -> tuple[str, ...]:
        """The axes that are left."""
        return axes if self.reduce is None else tuple(letter for letter in axes if letter != "h")

    def reduced(self, weights: Tensor, axes: tuple[str, ...]) -> Tensor:
        """Of weights with these axes, heads and queries chosen already."""
        if self.reduce is None or "h" not in axes:
            return weights
        place = axes.index("h")
        return weights.mean(place) if self.reduce == "mean" else weights.amax(place)

    def kept(self, weights: Tensor, axes: tuple[str, ...]) -> tuple[Form, Needed]:
        """What is kept of weights that are there, without the memory of what is not, and what forms a map of it."""
        left, part = self.axes(axes), self.reduced(chosen(weights, axes, Asked(self.heads, self.queries)), axes)
        if self.top is not None and left[-1:] == ("k",):
            keys = part.shape[-1]
            return lambda needed, asked: chosen(spread(needed[0], needed[1], keys), left, asked), [
                *largest(part, self.top)
            ]
        part = part.clone() if part.numel() < weights.numel() and part._is_view() else part
        return lambda needed, asked: chosen(needed[0], left, asked), [part]


def largest(weights: Float[Tensor, "*b k"], count: int) -> tuple[Float[Tensor, "*b n"], Tensor]:
    """The largest weights of each row, so many, and their keys; the first is the largest."""
    found = weights.topk(min(count, weights.shape[-1]))
    return found.values, found.indices


def spread(weights: Float[Tensor, "*b n"], places: Tensor, keys: int) -> Float[Tensor, "*b k"]:
    """Weights at their places among so many keys, and 0 elsewhere."""
    return weights.new_zeros(*weights.shape[:-1], keys).scatter(-1, places, weights)


EVERYTHING = Bounds()


class AttentionMap:
    """Who looked at whom, in one call of one module.

    Args:
        name: qualified name of the module.
        axes: letters of the axes of the weights.
        form: makes the weights that are asked for.
    """

    def __init__(self, name: str, axes: tuple[str, ...], form: Callable[[Asked], Tensor]) -> None:
        self.name, self.axes, self._form = name, axes, form

    def weights(self, heads: Rows | None = None, queries: Rows | None = None, keys: Rows | None = None) -> Tensor:
        """The weights of these heads and queries, to these keys; None: of all, to all. In float32 at least."""
        with torch.no_grad():
            return self._form(Asked(heads, queries, keys))

    def top(self, count: int, heads: Rows | None = None, queries: Rows | None = None) -> tuple[Tensor, Tensor]:
        """The keys that each query looks at most, so many, or all where there are fewer: their weights, and which."""
        return largest(self.weights(heads, queries), count)

    def bounded(self, bounds: Bounds) -> "AttentionMap":
        """The map of which no more is ever formed than these heads and queries, or one head that stands for all."""
        if bounds == EVERYTHING:
            return self
        axes = bounds.axes(self.axes)

        def form(asked: Asked) -> Tensor:
            # queries are chosen before anything is formed
            queries, rest = (asked.queries, None) if bounds.queries is None else (bounds.queries, asked.queries)
            whole = bounds.reduced(self._form(Asked(bounds.heads, queries)), self.axes)
            if bounds.top is not None and axes[-1:] == ("k",):
                most, places = largest(whole, bounds.top)
                whole = spread(most, places, whole.shape[-1])
            return chosen(whole, axes, Asked(asked.heads, rest, asked.keys))

        return AttentionMap(self.name, axes, form)


def weights_of(looked: Looked, asked: Asked) -> Float[Tensor, "b h q k"]:
    """The weights that are asked for. A query that may look nowhere has weights of zero."""
    query, keys, scale, bias, causal, log_sum_exp = looked
    wide = torch.promote_types(query.dtype, torch.float32)
    heads, queries, positions = query.shape[1], query.shape[2], keys.shape[2]
    if keys.shape[1] != heads:  # several heads share their keys
        keys = keys.repeat_interleave(heads // keys.shape[1], 1)
    # with the log-sum-exp a few keys are formed alone; a softmax is over all, and quicker where all are asked for
    total = None if asked.keys is None else log_sum_exp
    some_keys = None if total is None else asked.keys
    query = taken(taken(query, 1, asked.heads), 2, asked.queries)
    keys = taken(taken(keys, 1, asked.heads), 2, some_keys).expand(len(query), -1, -1, -1)
    scores = scores_of(query.to(wide), keys.to(wide), scale)
    # in place from here on: the scores are by far the largest
    if bias is not None:
        bias = bias.expand(*torch.broadcast_shapes(bias.shape, (1, heads, queries, positions)))
        bias = taken(taken(taken(bias, 1, asked.heads), 2, asked.queries), 3, some_keys)
        scores = scores.masked_fill_(~bias, -torch.inf) if bias.dtype == torch.bool else scores.add_(bias)
    if causal:
        near = torch.ones(queries, positions, dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill_(~taken(taken(near, 0, asked.queries), 1, some_keys), -torch.inf)
    if total is None:
        weights = scores.softmax(-1)
        if bias is not None:
            weights = weights.masked_fill_(scores.isneginf().all(-1, keepdim=True), 0.0)
        return taken(weights, 3, asked.keys)
    total = taken(taken(total[:, :, :queries], 1, asked.heads), 2, asked.queries).to(wide)[..., None]
    nowhere = ~total.isfinite()  # the log of nothing
    return scores.sub_(total.masked_fill(nowhere, 0.0)).exp_().masked_fill_(nowhere, 0.0)


def scores_of(
    query: Float[Tensor, "b h q d"], keys: Float[Tensor, "b h k d"], scale: float
) -> Float[Tensor, "b h q k"]:
    """scale (q . k), in one pass."""
    nothing = query.new_zeros(1, 1, 1)
    flat = torch.baddbmm(nothing, query.flatten(0, 1), keys.flatten(0, 1).mT, beta=0.0, alpha=scale)
    return flat.view(*query.shape[:2], *flat.shape[1:])


def taken(tensor: Tensor, axis: int, rows: Rows | None) -> Tensor:
    """The rows of an axis that are asked for."""
    if rows is None:
        return tensor
    if isinstance(rows, slice):
        return tensor[(slice(None),) * axis + (rows,)]
    return tensor.index_select(axis, torch.as_tensor(rows, device=tensor.device))


def chosen(weights: Tensor, axes: tuple[str, ...], asked: Asked) -> Tensor:
    """The heads, queries and keys that are asked for, of weights with these axes."""
    for letter, rows in (("h", asked.heads), ("q", asked.queries), ("k", asked.keys)):
        if letter in axes:
            weights = taken(weights, axes.index(letter), rows)
    return weights


def kept_map(name: str, axes: tuple[str, ...], tensor: Tensor) -> AttentionMap:
    """A map of a tensor that is there."""
    return AttentionMap(name, axes, lambda asked: chosen(tensor, axes, asked))
