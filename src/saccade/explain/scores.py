"""Recognise explicit attention: a softmax over the result of a matrix product, whose result enters another product.

    w = softmax(... q k^T ...),   c = ... w ... v            dots: sums, scales, masks, dropout, other shapes

Tensors are tracked from operator to operator. A softmax with only one of the two products, such as that of a router or
of an output, is not attention.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from saccade.explain import layout
from saccade.explain.columns import Columns
from saccade.explain.held import address
from saccade.explain.layout import MOVES, VIEWS
from saccade.explain.origins import Event, Followed, Joined, Softmax, Summed, Used

PRODUCTS = {
    "bmm", "mm", "baddbmm", "addmm", "addbmm", "matmul", "einsum", "linear", "mv", "addmv", "dot", "_linear_pointwise",
}  # fmt: skip
SOFTMAX = {"_softmax", "_safe_softmax", "softmax"}
# operators that do not change the values: other dtypes, a copy, dropout
KEPT = {
    "clone", "contiguous", "_to_copy", "to", "type_as", "type", "detach", "alias", "dropout", "native_dropout",
    "expand_as", "resize_",
}  # fmt: skip
# operators after which a tensor still comes from a product: rows that are selected or concatenated
CHOSEN = {
    "as_strided", "index", "index_select", "gather", "cat", "constant_pad_nd", "copy_", "where", "masked_fill",
    "masked_fill_", "stack", "tril", "triu", "roll", "repeat", "flip", "slice_scatter", "select_scatter", "pad",
    "concat", "concatenate", "hstack", "vstack", "take_along_dim", "repeat_interleave", "nan_to_num", "nan_to_num_",
}  # fmt: skip
JOINS = {"cat", "stack", "concat", "concatenate", "hstack", "vstack"}
ORDERED = {"topk", "sort"}
CHANGED = "its weights are changed after the softmax; the result of the softmax is shown"
PIECES = "its scores are assembled from pieces, so that columns are not keys"
SUMMED = "its weights enter a sum instead of a matrix product, and are not captured"
NESTED = "its tensors are nested"
OTHER_AXIS = "it has a softmax that is not over the last axis"
OTHER_ORDER = "its axes are not in the order batch, heads, queries, keys"
MORE_AXES = "axes, more than four"


class Scores:
    """Tracks tensors, and identifies the softmaxes that are attention."""

    def __init__(self) -> None:
        self._known: Any = WeakIdKeyDictionary()
        self._made = 0
        self._filled: set[int] = set()  # storages partly filled with a product
        self._noise: Any = WeakIdKeyDictionary()  # the masks of dropout
        self.columns = Columns()

    def observe(self, operator: Any, name: str, args: tuple[Any, ...], out: Any) -> list[Event]:
        """Track an operator call. Reports a softmax over scores when it runs, when a product or a sum uses its result,
        and when the contexts of several are concatenated."""
        self.columns.observe(operator, name, args, out)
        tensors = [x for x in flat(args) if isinstance(x, Tensor)]
        before = [(x, known) for x in tensors if (known := self._of(x)) is not None]
        heads = max((known.heads for _, known in before), default=0)
        if name in PRODUCTS:
            used, mixed = self.uses(name, args)
            gone = self.columns.gone(tensors[-1], -1) if tensors and tensors[-1].ndim else 0
            contexts = frozenset(each.number for each in used)
            self._mark(out, Followed(True, heads=heads, gone=gone, contexts=contexts) if mixed is None else mixed)
            return [*used]
        if name in VIEWS and isinstance(out, Tensor) and tensors and not tensors[0].is_nested:
            heads = folded(tensors[0].shape, out.shape) or heads
        if name in SOFTMAX and isinstance(out, Tensor) and out.ndim:
            return self._softmax(tensors[0], over_keys(args, out), [known for _, known in before], heads, out)
        noise = name.startswith("bernoulli") or any(x in self._noise for x in tensors[:1])
        if noise and isinstance(out, Tensor):
            self._noise[out] = None
        if before or heads:
            self._pass_on(operator, name, args, tensors[0], before, heads, out)
        if name == "sum" and before and before[0][1].changed:
            return [Summed(before[0][1].softmaxes)]
        contexts = frozenset[int]().union(*(known.contexts for _, known in before))
        return [Joined(contexts)] if name in JOINS and len(contexts) > 1 else []

    def uses(self, name: str, args: tuple[Any, ...]) -> tuple[list[Used], Followed | None]:
        """The softmaxes whose results a product uses; or, if it mixes weights, such as those of several heads, the
        origin of its result."""
        tensors = [x for x in flat(args) if isinstance(x, Tensor)]
        for operand in tensors:
            known = self._of(operand)
            if known is not None and known.softmaxes:
                left = operand is tensors[0 if name == "linear" or len(tensors) == 1 else -2]  # the first may be added
                return self._uses(name, args, operand, known, left)
        return [], None

    def _uses(
        self, name: str, args: tuple[Any, ...], operand: Tensor, known: Followed, left: bool
    ) -> tuple[list[Used], Followed | None]:
        """As `uses`, for one operand: a product over the keys uses weights; one over another axis mixes them."""
        stand, as_used, columns = known.stand, None, None
        if operand.is_nested:
            return [Used(number, operand, None, None, None, known.changed) for number in known.softmaxes], None
        if isinstance(args[0], str):  # einsum
            operands_of, made = args[0].replace(" ", "").split("->") if "->" in args[0] else (args[0], "")
            over_others = operands_of.split(",")[0 if left else -1][-1:] in made
        else:  # the sum is over the last axis of a left operand, and the last but one of a right operand
            axis = -1 if left else -min(2, operand.ndim)
            over_others = operand.shape[axis] != known.keys
            if stand is not None and operand.shape[axis] > 1:
                over_others = stand.stride(axis) != 1
        if over_others and not known.pieces:
            return [], known._replace(product=True, changed=True, stand=None)
        if stand is not None:
            as_used = layout.as_used(name, args, operand, stand, left)
            along = as_used if as_used is not None else stand if left or stand.ndim < 2 else stand.mT
            columns = layout.columns(along, known.all_keys)
        changed = known.changed or (columns is None and known.keys != known.all_keys)
        return [Used(number, operand, stand, as_used, columns, changed) for number in known.softmaxes], None

    def _softmax(self, scores: Tensor, last: bool, before: list[Followed], heads: int, out: Tensor) -> list[Event]:
        if not any(known.product for known in before):
            return []
        self._made += 1
        pieces = any(known.pieces for known in before)
        if out.is_nested:
            self._mark(out, Followed(False, (self._made,)))
            return [Softmax(self._made, 0, 0, NESTED)]
        keys, gone = out.shape[-1], max(known.gone for known in before)
        stand = layout.whole(out) if last else None
        self._mark(out, Followed(False, (self._made,), pieces or not last, False, heads, keys, keys, stand))
        unknown = f"weights of {out.ndim} {MORE_AXES}" if out.ndim > 4 else ""
        if out.ndim == 4 and not in_order(scores):
            unknown = OTHER_ORDER
        if pieces:
            unknown = PIECES
        if not last:
            unknown = OTHER_AXIS
        return [Softmax(self._made, heads, gone, unknown)]

    def _pass_on(
        self, operator: Any, name: str, args: tuple[Any, ...], given: Tensor,
        before: list[tuple[Tensor, Followed]], heads: int, out: Any,
    ) -> None:  # fmt: skip
        """Pass the origin of the operands to the result of an elementwise operator."""
        pointwise = torch.Tag.pointwise in operator.tags
        dropped = name.startswith("mul") and any(x in self._noise for x in flat(args) if isinstance(x, Tensor))
        moves = name in VIEWS or name in MOVES or name in KEPT or dropped
        first = next((known for _, known in before if known.softmaxes), None)
        if not (moves or pointwise or name in CHOSEN):
            there = next((x for x in flat((out,)) if isinstance(x, Tensor) and not x.is_nested and x.ndim), None)
            kept_rows = there is not None and first is not None and there.shape[-1] == first.keys
            if first is None or not (kept_rows or name in ORDERED) or name.endswith("_like"):
                return
        found = Followed(
            any(known.product for _, known in before),
            tuple(dict.fromkeys(number for _, known in before for number in known.softmaxes)),
            any(known.pieces for _, known in before),
            any(known.changed for _, known in before) or (first is not None and not moves),
            heads,
            max((known.keys for _, known in before), default=0),
            max((known.all_keys for _, known in before), default=0),
            None,
            max((known.gone for _, known in before), default=0) if kept_columns(given, out) else 0,
            frozenset[int]() if pointwise else frozenset[int]().union(*(known.contexts for _, known in before)),
        )
        if first is not None:
            found = rows_of(found, given, out)
            source = next(x for x, known in before if known is first)
            self._mark_with(out, found, self._stand_in(operator, name, args, source, first, out))
        else:
            self._mark(out, found)
        if name == "copy_" and found.product and part(given):
            self._filled.add(address(given))

    def _stand_in(
        self, operator: Any, name: str, args: tuple[Any, ...], source: Tensor, known: Followed, out: Any
    ) -> Any:
        """The position of an operator's result in the softmax's result."""
        if known.stand is None:
            return None
        if name in VIEWS or name in MOVES:
            return layout.moved(operator, name, args, known.stand, out)
        there = out[0] if isinstance(out, tuple | list) and out else out
        return known.stand if isinstance(there, Tensor) and there.shape == source.shape else None

    def _of(self, tensor: Tensor) -> Followed | None:
        known: Followed | None = self._known.get(tensor)
        if known is None and self._filled and address(tensor) in self._filled:
            known = Followed(True, pieces=True)
        return known

    def _mark(self, out: Any, known: Followed) -> None:
        for tensor in flat((out,)):
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self._known[tensor] = known

    def _mark_with(self, out: Any, known: Followed, stand_ins: Any) -> None:
        several = isinstance(stand_ins, tuple | list)
        for place, tensor in enumerate(flat((out,))):
            self._mark(tensor, known._replace(stand=stand_ins[place] if several else stand_ins if place == 0 else None))


def kept_columns(given: Tensor, out: Any) -> bool:
    """Whether the last axis may be the same."""
    there = not given.is_nested and isinstance(out, Tensor) and not out.is_nested
    return there and given.shape[-1:] == out.shape[-1:]


def rows_of(known: Followed, given: Tensor, out: Any) -> Followed:
    """The origin of weights whose number of columns has changed."""
    if given.is_nested or not isinstance(out, Tensor) or out.is_nested:
        return known
    if given.shape[-1:] == (known.keys,) and out.shape[:-1] == given.shape[:-1] and out.ndim:
        return known._replace(keys=out.shape[-1])
    return known


def folded(given: torch.Size, made: torch.Size) -> int:
    """The number of heads that a reshape merges into the first or second axis; 0 if none.

    (b, h, t, d) -> (b h, t, d), or (t, b, h d) -> (t, b h, d) before the two are swapped.
    """
    if len(given) == 4 and len(made) == 3 and made == (given[0] * given[1], *given[2:]):
        return given[1]
    if len(given) == len(made) == 3 and given[0] == made[0] and made[2] and given[1] and made[1] > given[1]:
        heads = made[1] // given[1]
        return heads if made == (given[0], given[1] * heads, given[2] // heads) and not given[2] % heads else 0
    return 0


def in_order(scores: Tensor) -> bool:
    """Whether (b, h, q, k) is contiguous in memory, as a product leaves it."""
    steps = [step for size, step in zip(scores.shape[:3], scores.stride(), strict=False) if size > 1]
    return all(outer >= inner for outer, inner in pairwise(steps))


def part(tensor: Tensor) -> bool:
    """Whether it views only a part of its storage."""
    return tensor.numel() * tensor.element_size() < tensor.untyped_storage().nbytes()


def over_keys(args: tuple[Any, ...], out: Tensor) -> bool:
    """Whether a softmax is over the last axis."""
    axis: int = args[1] if len(args) > 1 else -1
    return axis % out.ndim == out.ndim - 1


def flat(values: Any) -> list[Any]:
    """The members of nested tuples and lists."""
    if isinstance(values, tuple | list):
        return [member for value in values for member in flat(value)]
    return [values]
