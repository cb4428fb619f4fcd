"""Where the numbers of a tensor stand in the result of the softmax that it is made of, and who looks at whom there.

A stand-in is a tensor without memory (of the device "meta") that is a view of the softmax's result, laid out row by
row: its shape is that of the tensor, and its strides say which axis of the softmax each of its own axes is.
"""

from typing import Any

import torch
from torch import Tensor

from saccade.explain.held import is_equal

VIEWS = {"view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "unflatten", "view_as", "reshape_as", "ravel"}
# which put axes in another order, or leave rows out
MOVES = {
    "expand", "permute", "transpose", "t", "movedim", "unsqueeze", "squeeze", "slice", "select", "narrow", "split",
    "split_with_sizes", "unbind", "chunk", "unsafe_chunk", "tensor_split", "unsafe_split", "swapaxes", "swapdims",
    "moveaxis", "broadcast_to", "adjoint", "numpy_T", "mT", "mH",
}  # fmt: skip


def whole(out: Tensor) -> Tensor:
    """The stand-in of a softmax's result."""
    return torch.empty(out.shape, device="meta")


def moved(operator: Any, name: str, args: tuple[Any, ...], stand: Tensor, out: Any) -> Any:
    """The stand-in of a view, or those of several; None where it is none of the softmax's result."""
    if name in VIEWS and isinstance(out, Tensor):
        try:
            return stand.view(out.shape)
        except RuntimeError:  # its axes do not lie one within the other
            return None
    return operator(stand, *args[1:]) if name in MOVES else None


def looks(name: str, args: tuple[Any, ...], operand: Tensor, stand: Tensor, left: bool) -> Tensor | None:
    """The stand-in of weights as a product takes them, (n, q, k) of several sequences or (q, k) of one.

    Each of n has values of its own, and all q look at the same ones. None: that cannot be said.

    Args:
        name: the operator's.
        args: what it was given.
        operand: the weights among them.
        stand: their stand-in.
        left: whether they stand on the left; an equation has its own order.
    """
    if name == "einsum":
        return of_equation(args[0], args[1], operand, stand)
    if name in ("bmm", "baddbmm", "addbmm", "mm", "addmm", "mv", "addmv", "dot") or operand.ndim <= 2:
        return stand if left or stand.ndim < 2 else stand.mT
    if name == "matmul" and all(tensor.ndim > 2 for tensor in args[:2]):
        stand = stand if left else stand.mT
        return joined(stand, stand.ndim - 2)
    return None


def of_equation(equation: str, operands: Any, operand: Tensor, stand: Tensor) -> Tensor | None:
    if "->" not in equation or "." in equation or len(operands) != 2:
        return None
    given, made = equation.replace(" ", "").split("->")
    sides = given.split(",")
    place = 0 if operands[0] is operand else 1
    own, other = sides[place], sides[1 - place]
    batch = [letter for letter in own if letter in other and letter in made]
    query = [letter for letter in own if letter not in other]
    keys = [letter for letter in own if letter in other and letter not in made]
    if len(keys) != 1 or len(set(own)) != len(own):
        return None
    ordered = stand.permute([own.index(letter) for letter in (*batch, *query, *keys)])
    found = joined(ordered, len(batch))
    if found is None or not batch:
        return None if found is None else found[0]
    return found


def joined(stand: Tensor, batch: int) -> Tensor | None:
    """(*b, *q, k) -> (n, q, k), where so many axes are of the batch."""
    try:
        return stand.view(stand.shape[:batch].numel(), stand.shape[batch:-1].numel(), stand.shape[-1])
    except RuntimeError:
        return None


def columns(stand: Tensor | None, keys: int) -> tuple[int, int] | None:
    """Which columns of a softmax over so many keys are looked at, from and to; None: not one after the other."""
    if stand is None or not stand.ndim or (stand.shape[-1] > 1 and stand.stride(-1) != 1):
        return None
    first = int(stand.storage_offset()) % keys
    return first, first + stand.shape[-1]


def equal(operand: Tensor, stand: Tensor, weights: Tensor) -> bool:
    """Whether a tensor has the numbers of the softmax's result that its stand-in says."""
    return is_equal(operand, placed(weights, stand).to(operand.dtype))


def placed(weights: Tensor, stand: Tensor) -> Tensor:
    """The numbers of a softmax's result that a stand-in says."""
    flat = weights.reshape(-1)
    return flat.as_strided(stand.shape, stand.stride(), flat.storage_offset() + stand.storage_offset())


def arranged(weights: Tensor, stand: Tensor | None, heads: int) -> tuple[Tensor, tuple[str, ...]] | None:
    """Weights as they are shown, and the letters of their axes; None where they stand in another order.

    Args:
        weights: a softmax's result.
        stand: as `looks` gives it.
        heads: how many heads the module has; 0: it is not known.
    """
    keys = weights.shape[-1]
    if weights.ndim == 1:
        return weights[None], ("q", "k")
    rows = weights.shape[-2]
    if weights.ndim == 2:
        if stand is None or (stand.ndim == 2 and len(stand) == rows):
            return weights, ("q", "k")
        if stand.ndim < 3:  # row by row, each by itself
            return weights[:, None], ("n", "q", "k")
        n, q, _ = stand.shape
        if n * q == rows and in_turn(stand, (n, q), keys):
            return weights.reshape(n, q, keys), ("n", "q", "k")
        if n * q == rows and in_turn(stand.transpose(0, 1), (q, n), keys):
            return weights.reshape(q, n, keys).transpose(0, 1), ("n", "q", "k")
        return weights, ("q", "k")
    if weights.ndim == 3:
        if stand is not None and stand.ndim == 3 and rows > 1:
            n, q, _ = stand.shape
            if q == 1 and n == len(weights) * rows and in_turn(stand, (n, 1), keys):  # one query each
                if heads == rows:
                    return weights[:, :, None], ("b", "h", "q", "k")
                return weights.reshape(n, 1, keys), ("n", "q", "k")
            if (n, q) == (rows, len(weights)) and is_turned(weights, stand):
                return weights.transpose(0, 1), ("n", "q", "k")
        return weights, ("n", "q", "k")
    if stand is not None and stand.ndim == 3 and rows > 1 and stand.shape[1] > 1 and stand.stride(1) != keys:
        return None
    return weights, ("b", "h", "q", "k")


def is_turned(weights: Tensor, stand: Tensor | None) -> bool:
    """Whether a product takes weights of three axes with the first two swapped."""
    if weights.ndim != 3 or stand is None or stand.ndim != 3:
        return False
    n, q, keys = stand.shape[0], stand.shape[1], weights.shape[-1]
    return n > 1 and q > 1 and not in_turn(stand, (n, q), keys) and in_turn(stand.transpose(0, 1), (q, n), keys)


def in_turn(stand: Tensor, shape: tuple[int, int], keys: int) -> bool:
    """Whether rows of so many numbers lie one after the other along two axes, the last within the first."""
    steps = (shape[1] * keys, keys)
    return all(size == 1 or step == is_ for size, step, is_ in zip(shape, steps, stand.stride(), strict=False))
