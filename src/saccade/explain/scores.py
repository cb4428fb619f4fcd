"""Attention that is written out: a softmax over what a matrix product gave, whose result goes into another one.

    w = softmax(... q k^T ...),   c = ... w ... v            both dots: sums, scales, masks, dropout, other shapes

A tensor is followed from operator to operator. A softmax of which only one half is true, such as that of a router or of
an output, is not attention.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from saccade.explain.held import address

PRODUCTS = {"bmm", "mm", "baddbmm", "addmm", "addbmm", "matmul", "einsum", "linear", "mv", "addmv", "dot"}
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
    "ravel", "type", "take_along_dim", "repeat_interleave",
}  # fmt: skip


class Followed(NamedTuple):
    """What is known of a tensor: whether it is made of a product, and of which softmax's result."""

    product: bool
    softmax: int | None
    pieces: bool = False
    """Whether products were copied into it piece by piece: then nobody can tell which key a column is."""


class Scores:
    """Follows tensors, and says which softmax is attention."""

    def __init__(self) -> None:
        self._known: Any = WeakIdKeyDictionary()
        self._made = 0
        self._filled: set[int] = set()  # storages of which a part was filled with a product
        self.in_pieces: set[int] = set()
        """The softmaxes over scores that were put together in pieces."""

    def saw(self, operator: Any, name: str, args: tuple[Any, ...], out: Any) -> tuple[int | None, int | None]:
        """Take note of a call. Returns the number of a softmax over scores, and that of one whose result was used.

        The first is given when the softmax runs, the second when a product takes what it gave: then it was attention.
        """
        tensors = [x for x in flat(args) if isinstance(x, Tensor)]
        before = [known for x in tensors if (known := self._of(x)) is not None]
        if name in PRODUCTS:
            used = next((known.softmax for known in before if known.softmax is not None), None)
            self._mark(out, Followed(True, None))
            return None, used
        if not before:
            return None, None
        if name in SOFTMAX and over_keys(args, out):
            if not any(known.product for known in before):
                return None, None
            self._made += 1
            if any(known.pieces for known in before):
                self.in_pieces.add(self._made)
            self._mark(out, Followed(False, self._made))
            return self._made, None
        if name in SAME or torch.Tag.pointwise in operator.tags:
            softmax = next((known.softmax for known in before if known.softmax is not None), None)
            product, pieces = any(known.product for known in before), any(known.pieces for known in before)
            self._mark(out, Followed(product, softmax, pieces))
            if name == "copy_" and product and part(tensors[0]):
                self._filled.add(address(tensors[0]))
        return None, None

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


def part(tensor: Tensor) -> bool:
    """Whether it is a view of a part of its storage."""
    return tensor.numel() * tensor.element_size() < tensor.untyped_storage().nbytes()


def over_keys(args: tuple[Any, ...], out: Any) -> bool:
    """Whether a softmax is over the last of at least two axes."""
    axis = args[1] if len(args) > 1 else -1
    return isinstance(out, Tensor) and out.ndim >= 2 and axis % out.ndim == out.ndim - 1


def flat(values: Any) -> list[Any]:
    """The members of nested tuples and lists."""
    if isinstance(values, tuple | list):
        return [member for value in values for member in flat(value)]
    return [values]
