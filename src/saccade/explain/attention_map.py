"""The attention map of one call of one module, computed on request.

    w_qk = exp(s_qk - l_q),   s_qk = scale (q_q . k_k) + bias_qk,   l_q = log sum_k exp(s_qk)

A fused kernel returns l, the log-sum-exp of each row, so the weights of a few rows or keys can be computed alone.
Without it, or if all keys are requested, a softmax over all keys is computed for those rows. The map holds references
to queries and keys, and no weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.core.errors import InvalidInput

Rows = slice | list[int] | Tensor
AXES = {2: ("q", "k"), 3: ("n", "q", "k"), 4: ("b", "h", "q", "k")}  # the axes of weights, by their number
BLOCK = 1 << 19  # scores computed at once, 2 MB in float32: more would not fit into the cache
Needed = list[Any]  # the tensors that a map is computed from


class Selection(NamedTuple):
    """A selection of heads, queries and keys, by position; None: all."""

    heads: Rows | None = None
    queries: Rows | None = None
    keys: Rows | None = None


class AttentionInputs(NamedTuple):
    """The inputs that the weights of a fused kernel are computed from.

    `bias` is added to the scores and broadcasts to their shape; if it is bool, True = may be attended. `causal`: query
    i sees keys 0 to i. `log_sum_exp` has the shape (b, h, q), if there is one. `nowhere`: the weights of a query with
    nothing to attend.
    """

    query: Float[Tensor, "b h q d"]
    keys: Float[Tensor, "b g k d"]
    scale: float
    bias: Tensor | None = None
    causal: bool = False
    log_sum_exp: Float[Tensor, "b h q"] | None = None
    nowhere: float = 0.0


Form = Callable[[Needed, Selection], Tensor]


@dataclass(frozen=True, eq=False)
class Bounds:
    """The part of a map to keep: some heads and queries (None: all); the mean or the maximum over heads; only the
    largest weights of each query, with all others set to 0."""

    heads: Rows | None = None
    queries: Rows | None = None
    reduce: Literal["mean", "max"] | None = None
    top: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bounds) and all(
            one is two for one, two in zip(vars(self).values(), vars(other).values(), strict=True)
        )

    def axes(self, axes: tuple[str, ...]) -> tuple[str, ...]:
        """The remaining axes."""
        return axes if self.reduce is None else tuple(letter for letter in axes if letter != "h")

    def reduced(self, weights: Tensor, axes: tuple[str, ...]) -> Tensor:
        """Reduce weights with these axes, whose heads and queries are already selected."""
        if self.reduce is None or "h" not in axes:
            return weights
        place = axes.index("h")
        return weights.mean(place) if self.reduce == "mean" else weights.amax(place)

    def kept(self, weights: Tensor, axes: tuple[str, ...]) -> tuple[Form, Needed]:
        """The part of existing weights to keep, copied so that the rest can be freed, and the function that computes
        the map from it."""
        left, part = self.axes(axes), self.reduced(chosen(weights, axes, Selection(self.heads, self.queries)), axes)
        if self.top is not None and left[-1:] == ("k",):
            keys = part.shape[-1]
            return lambda needed, selection: chosen(spread(needed[0], needed[1], keys), left, selection), [
                *largest(part, self.top)
            ]
        part = part.clone() if part.numel() < weights.numel() and part._is_view() else part
        return lambda needed, selection: chosen(needed[0], left, selection), [part]


def largest(weights: Float[Tensor, "*b k"], count: int) -> tuple[Float[Tensor, "*b n"], Tensor]:
    """The `count` largest weights of each row, largest first, with their keys."""
    found = weights.topk(min(count, weights.shape[-1]))
    return found.values, found.indices


def spread(weights: Float[Tensor, "*b n"], places: Tensor, keys: int) -> Float[Tensor, "*b k"]:
    """Weights at their positions among all keys, and 0 elsewhere."""
    return weights.new_zeros(*weights.shape[:-1], keys).scatter(-1, places, weights)


EVERYTHING = Bounds()


class AttentionMap:
    """The attention of one call of one module.

    Args:
        name: qualified name of the module.
        axes: letters of the axes of the weights.
        form: the function that computes the requested weights.
        forward: number of the model's forward pass, if known.
        turn: number of maps captured before this one; None: not captured yet.
        sizes: the numbers of queries and keys before any selection; by default those of the weights.
        gone: number of keys that a cache had dropped before this call.
        apart: True if it never continues an earlier map of the same name.
    """

    def __init__(
        self,
        name: str,
        axes: tuple[str, ...],
        form: Callable[[Selection], Tensor],
        forward: int = 0,
        turn: int | None = None,
        sizes: tuple[int, int] | None = None,
        gone: int = 0,
        apart: bool = False,
    ) -> None:
        self.name, self.axes, self._form, self.forward, self.turn = name, axes, form, forward, turn
        self.sizes, self.gone, self.apart = sizes, gone, apart

    def weights(self, heads: Rows | None = None, queries: Rows | None = None, keys: Rows | None = None) -> Tensor:
        """The weights of these heads, queries and keys (None: all), in at least float32."""
        with torch.no_grad():
            return self._form(Selection(heads, queries, keys))

    def top(self, count: int, heads: Rows | None = None, queries: Rows | None = None) -> tuple[Tensor, Tensor]:
        """For each query the keys with the largest weights, at most `count`: the weights, and the keys."""
        return largest(self.weights(heads, queries), count)

    def part(self, first: int, last: int) -> "AttentionMap":
        """The map restricted to a range of keys, the end excluded."""

        def form(selection: Selection) -> Tensor:
            some = self._form(Selection(selection.heads, selection.queries))[..., first:last]
            return chosen(some, self.axes, Selection(keys=selection.keys))

        sizes = None if self.sizes is None else (self.sizes[0], last - first)
        return self._with(self.axes, form, sizes)

    def replace_with(self, other: "AttentionMap") -> None:
        """Take the form, the sizes and the axes of another map of the same call."""
        self._form, self.sizes, self.axes = other._form, other.sizes, other.axes

    def _with(
        self, axes: tuple[str, ...], form: Callable[[Selection], Tensor], sizes: tuple[int, int] | None
    ) -> "AttentionMap":
        return AttentionMap(self.name, axes, form, self.forward, self.turn, sizes, self.gone, self.apart)

    def bounded(self, bounds: Bounds) -> "AttentionMap":
        """The map restricted to these heads and queries, or reduced to one head; nothing else is computed."""
        if bounds == EVERYTHING:
            return self
        axes = bounds.axes(self.axes)

        def form(selection: Selection) -> Tensor:
            # queries are selected before anything is computed
            queries, rest = (selection.queries, None) if bounds.queries is None else (bounds.queries, selection.queries)
            whole = bounds.reduced(self._form(Selection(bounds.heads, queries)), self.axes)
            if bounds.top is not None and axes[-1:] == ("k",):
                most, places = largest(whole, bounds.top)
                whole = spread(most, places, whole.shape[-1])
            return chosen(whole, axes, Selection(selection.heads, rest, selection.keys))

        return self._with(axes, form, self.sizes)


def weights_of(inputs: AttentionInputs, selection: Selection) -> Float[Tensor, "b h q k"]:
    """The requested weights. A query with nothing to attend has the weights `inputs.nowhere`."""
    query, keys, scale, bias, causal, total, nowhere = inputs
    batch, heads = max(len(query), len(keys)), query.shape[1] if query.shape[1] > 1 else keys.shape[1]
    query = query.expand(batch, heads, -1, -1)  # as the kernel does, if all share one mask
    queries, positions = query.shape[2], keys.shape[2]
    if keys.shape[1] != heads:  # several heads share keys
        keys = keys.repeat_interleave(heads // keys.shape[1], 1)
    # with the log-sum-exp a few keys can be computed alone; for all keys a softmax is faster
    if selection.keys is None:
        total = None
    some = Selection(selection.heads, selection.queries, None if total is None else selection.keys)
    masks = [] if bias is None else [bias.expand(*torch.broadcast_shapes(bias.shape, (1, heads, queries, positions)))]
    if causal:
        near = torch.ones(queries, positions, dtype=torch.bool, device=query.device).tril()
        masks.append(near.expand(1, heads, -1, -1))
    query = chosen(query, ("b", "h", "q", "d"), some)
    keys = chosen(keys, ("b", "h", "k", "d"), some).expand(len(query), -1, -1, -1)
    masks = [chosen(mask, AXES[4], some).expand(len(query), -1, -1, -1) for mask in masks]
    if total is not None:
        total = chosen(total[:, :, :queries], AXES[4][:3], some)[..., None]
    weights = query.new_empty(*query.shape[:3], keys.shape[2], dtype=torch.promote_types(query.dtype, torch.float32))
    for part in blocks(weights.shape):
        scores = scores_of(query[part].to(weights), keys[part].to(weights), scale)
        for mask in masks:
            scores = (
                scores.masked_fill_(~mask[part], -torch.inf) if mask.dtype == torch.bool else scores.add_(mask[part])
            )
        if total is None:
            formed = torch.softmax(scores, -1, out=weights[part])
            if masks:
                formed.masked_fill_(scores.isneginf().all(-1, keepdim=True), nowhere)
        else:
            less = total[part].to(scores)
            empty = ~less.isfinite()  # the log of nothing
            torch.exp(scores.sub_(less.masked_fill(empty, 0.0)), out=weights[part]).masked_fill_(empty, nowhere)
    return weights if total is not None else taken(weights, 3, selection.keys)


def blocks(shape: torch.Size) -> Iterator[tuple[slice, slice]]:
    """Split (b, h, q, k) into rows and heads whose scores stay in the processor's cache."""
    rows, heads, size = shape[0], shape[1], shape[2] * shape[3]
    if not rows * heads * size:
        return
    many = max(1, BLOCK // size)
    if many >= heads:
        for row in range(0, rows, many // heads):
            yield slice(row, row + many // heads), slice(None)
    else:
        for row, head in product(range(rows), range(0, heads, many)):
            yield slice(row, row + 1), slice(head, head + many)


def scores_of(
    query: Float[Tensor, "b h q d"], keys: Float[Tensor, "b h k d"], scale: float
) -> Float[Tensor, "b h q k"]:
    """scale (q . k), in one operation."""
    nothing = query.new_zeros(1, 1, 1)
    flat = torch.baddbmm(nothing, query.flatten(0, 1), keys.flatten(0, 1).mT, beta=0.0, alpha=scale)
    return flat.view(*query.shape[:2], *flat.shape[1:])


def taken(tensor: Tensor, axis: int, rows: Rows | None) -> Tensor:
    """The selected rows of an axis; a slice may be empty.

    Raises:
        InvalidInput: some of the rows do not exist.
    """
    if rows is None:
        return tensor
    if isinstance(rows, slice) and (rows.step or 1) > 0:
        return tensor[(slice(None),) * axis + (rows,)]
    size = tensor.shape[axis]
    places = list(range(size))[rows] if isinstance(rows, slice) else torch.as_tensor(rows).tolist()
    if not places or any(isinstance(place, bool) or not 0 <= place < size for place in places):
        raise InvalidInput(f"expected positions from 0 to {size - 1}, such as [0] or slice(0, 1), not {rows}")
    return tensor.index_select(axis, torch.as_tensor(places, device=tensor.device))


def chosen(weights: Tensor, axes: tuple[str, ...], selection: Selection) -> Tensor:
    """Select heads, queries and keys of weights with these axes."""
    for letter, rows in (("h", selection.heads), ("q", selection.queries), ("k", selection.keys)):
        if letter in axes:
            weights = taken(weights, axes.index(letter), rows)
    return weights


def kept_map(name: str, axes: tuple[str, ...], tensor: Tensor, *more: Any, **options: Any) -> AttentionMap:
    """The map of an existing tensor of weights; other arguments as for `AttentionMap`."""
    return AttentionMap(name, axes, lambda selection: chosen(tensor, axes, selection), *more, **options)
