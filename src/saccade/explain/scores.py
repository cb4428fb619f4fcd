"""Attention that is written out: a softmax over what a matrix product gave, whose result goes into another one.

    w = softmax(... q k^T ...),   c = ... w ... v            both dots: sums, scales, masks, dropout, other shapes

A tensor is followed from operator to operator. A softmax of which only one half is true, such as that of a router or of
an output, is not attention.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from saccade.explain.held import address

PRODUCTS = {
    "bmm", "mm", "baddbmm", "addmm", "addbmm", "matmul", "einsum", "linear", "mv", "addmv", "dot", "_linear_pointwise",
}  # fmt: skip
SOFTMAX = {"_softmax", "_safe_softmax", "softmax"}
# what leaves the numbers in their rows: other shapes and types, a copy, dropout, the choice of rows
SAME = {
    "view", "_unsafe_view", "reshape", "_reshape_alias", "expand", "permute", "transpose", "t", "movedim", "flatten",
    "unflatten", "unsqueeze", "squeeze", "slice", "select", "narrow", "as_strided", "split", "split_with_sizes",
    "unbind", "index", "index_select", "gather", "cat", "constant_pad_nd", "clone", "contiguous", "_to_copy", "to",
    "type_as", "detach", "alias", "copy_", "dropout", "native_dropout", "where", "masked_fill", "masked_fill_", "stack",
    "tril", "triu", "roll", "repeat", "flip", "slice_scatter", "select_scatter",
    # those that come whole in inference mode
    "pad", "chunk", "unsafe_chunk", "tensor_split", "unsafe_split", "swapaxes", "swapdims", "moveaxis", "view_as",
    "reshape_as", "expand_as", "broadcast_to", "concat", "concatenate", "hstack", "vstack", "adjoint", "numpy_T",
    "mT", "mH", "ravel", "type", "take_along_dim", "repeat_interleave",
    # rows that see nothing are made zero
    "nan_to_num", "nan_to_num_", "resize_",
}  # fmt: skip
VIEWS = {"view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "unflatten", "view_as", "reshape_as"}
CHANGED = "its weights are changed after the softmax, whose result is what is seen"


class Followed(NamedTuple):
    """What is known of a tensor: whether it is made of a product, and of which softmax's result."""

    product: bool
    softmax: int | None
    pieces: bool = False
    """Whether its columns are not all keys: products were copied into it piece by piece, or no row sums to 1."""
    changed: bool = False
    """Whether it is no longer what the softmax gave."""
    heads: int = 0
    """How many heads were laid side by side in its first axis, those of one sequence together; 0: none is known."""
    keys: int = 0
    """Of a softmax's result: how many columns its rows have."""
    all_keys: int = 0
    """How many of them there were before the last ones were cut off."""


class Softmax(NamedTuple):
    """A softmax over scores, when it runs."""

    number: int
    heads: int
    """As of `Followed`."""
    unknown: str
    """Why its weights cannot be read; empty: they can."""


class Used(NamedTuple):
    """A softmax whose result a product took: it was attention."""

    number: int
    keys: int | None
    """So many of its columns, from the first, since the rest was cut off: it stands for no keys. None: all."""
    remark: str
    """What is to be said of its weights."""


class Scores:
    """Follows tensors, and says which softmax is attention."""

    def __init__(self) -> None:
        self._known: Any = WeakIdKeyDictionary()
        self._made = 0
        self._filled: set[int] = set()  # storages of which a part was filled with a product

    def saw(self, operator: Any, name: str, args: tuple[Any, ...], out: Any) -> Softmax | Used | None:
        """Take note of a call. Returns a softmax over scores as it runs, and again as a product takes its result."""
        tensors = [x for x in flat(args) if isinstance(x, Tensor)]
        before = [known for x in tensors if (known := self._of(x)) is not None]
        heads = max((known.heads for known in before), default=0)
        if name in PRODUCTS:
            return self._product(name, args, tensors, heads, out)
        if name in VIEWS and isinstance(out, Tensor) and tensors:
            heads = folded(tensors[0].shape, out.shape) or heads
        if name in SOFTMAX and isinstance(out, Tensor) and out.ndim >= 2:
            return self._softmax(tensors[0], over_keys(args, out), before, heads, out)
        if (before or heads) and (name in SAME or torch.Tag.pointwise in operator.tags):
            self._pass_on(name, args, tensors[0], before, heads, out)
        return None

    def _softmax(self, scores: Tensor, last: bool, before: list[Followed], heads: int, out: Tensor) -> Softmax | None:
        if not any(known.product for known in before):
            return None
        self._made += 1
        pieces = any(known.pieces for known in before)
        self._mark(
            out,
            Followed(False, self._made, pieces or not last, heads=heads, keys=out.shape[-1], all_keys=out.shape[-1]),
        )
        unknown = f"weights of {out.ndim} axes" if out.ndim > 4 else ""
        if out.ndim == 4 and not in_order(scores):
            unknown = "its axes stand in another order than batch, heads, queries, keys"
        if pieces:
            unknown = "its scores are put together in pieces, so that no column is a key"
        if not last:
            unknown = "its softmax is not over the last axis"
        return Softmax(self._made, heads, unknown)

    def _pass_on(
        self, name: str, args: tuple[Any, ...], given: Tensor, before: list[Followed], heads: int, out: Any
    ) -> None:
        """What is known of the operands is known of what an operator makes of them, number by number."""
        softmax = next((known.softmax for known in before if known.softmax is not None), None)
        product, pieces = any(known.product for known in before), any(known.pieces for known in before)
        changed = any(known.changed for known in before) or (softmax is not None and name not in SAME)
        keys, all_keys = max(((known.keys, known.all_keys) for known in before), default=(0, 0))
        if isinstance(out, Tensor) and given.shape[-1:] == (keys,) and out.shape[:-1] == given.shape[:-1]:
            cut = name == "slice" and args[2:3] in ((0,), (None,))
            changed, keys = changed or (not cut and out.shape[-1] != keys), out.shape[-1]
        self._mark(out, Followed(product, softmax, pieces, changed, heads, keys, all_keys))
        if name == "copy_" and product and part(given):
            self._filled.add(address(given))

    def _product(self, name: str, args: tuple[Any, ...], tensors: list[Tensor], heads: int, out: Any) -> Used | None:
        """A product over the keys uses weights; over another axis, such as the heads, it mixes them."""
        operands = [(x, known) for x in tensors if (known := self._of(x)) is not None and known.softmax is not None]
        if not operands:
            self._mark(out, Followed(True, None, heads=heads))
            return None
        weights, known = operands[0]
        left = weights is tensors[0 if name == "linear" or len(tensors) == 1 else -2]  # the first may be what is added
        if isinstance(args[0], str):  # an equation
            operands_of, made = args[0].replace(" ", "").split("->") if "->" in args[0] else (args[0], "")
            over_others = operands_of.split(",")[0 if left else -1][-1:] in made
        else:  # what is summed over is the last axis of a left operand, and the last but one of a right one
            over_others = (weights.shape[-1] if left else weights.shape[-2:][0]) != known.keys
        if over_others and not known.pieces:
            self._mark(out, known._replace(product=True, changed=True))
            return None
        self._mark(out, Followed(True, None, heads=heads))
        all_there = known.changed or known.pieces or known.keys == known.all_keys
        return Used(known.softmax or 0, None if all_there else known.keys, CHANGED if known.changed else "")

    def _of(self, tensor: Tensor) -> Followed | None:
        known: Followed | None = self._known.get(tensor)
        if known is None and self._filled and not tensor.is_nested and address(tensor) in self._filled:
            known = Followed(True, None, True)
        return known

    def softmax_of(self, value: Any) -> int:
        """The number of the softmax whose result a tensor is; 0 of none."""
        known = self._known.get(value) if isinstance(value, Tensor) else None
        return known.softmax or 0 if known is not None else 0

    def _mark(self, out: Any, known: Followed) -> None:
        for tensor in flat((out,)):
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self._known[tensor] = known


def folded(given: torch.Size, made: torch.Size) -> int:
    """How many heads a change of shape lays side by side in the first or second axis; 0: it does not.

    (b, h, t, d) -> (b h, t, d), or (t, b, h d) -> (t, b h, d) before the two are swapped.
    """
    if len(given) == 4 and len(made) == 3 and made == (given[0] * given[1], *given[2:]):
        return given[1]
    if len(given) == len(made) == 3 and given[0] == made[0] and made[2] and given[1] and made[1] > given[1]:
        heads = made[1] // given[1]
        return heads if made == (given[0], given[1] * heads, given[2] // heads) and not given[2] % heads else 0
    return 0


def in_order(scores: Tensor) -> bool:
    """Whether batch, heads and rows (b, h, q, k) lie in memory one within the other, as a product leaves them."""
    steps = [step for size, step in zip(scores.shape[:3], scores.stride(), strict=False) if size > 1]
    return all(outer >= inner for outer, inner in pairwise(steps))


def part(tensor: Tensor) -> bool:
    """Whether it is a view of a part of its storage."""
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
