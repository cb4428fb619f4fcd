"""Find which axes of a tensor computed from a softmax are its batch, queries and keys.

A stand-in is a tensor on the device "meta", without memory, that is a view of the softmax's result in row-major order:
it has the shape of the tensor, and its strides show the axis of the softmax that each axis comes from.
"""

from typing import Any

import torch
from torch import Tensor

from saccade.explain.held import is_equal

VIEWS = {"view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "unflatten", "view_as", "reshape_as", "ravel"}
# operators that permute axes or drop rows
MOVES = {
    "expand", "permute", "transpose", "t", "movedim", "unsqueeze", "squeeze", "slice", "select", "narrow", "split",
    "split_with_sizes", "unbind", "chunk", "unsafe_chunk", "tensor_split", "unsafe_split", "swapaxes", "swapdims",
    "moveaxis", "broadcast_to", "adjoint", "numpy_T", "mT", "mH",
}  # fmt: skip


def whole(out: Tensor) -> Tensor:
    """The stand-in of a softmax's result."""
    return torch.empty(out.shape, device="meta")


def moved(operator: Any, name: str, args: tuple[Any, ...], stand: Tensor, out: Any) -> Any:
    """The stand-in of a view, or those of several; None if it is not a view of the softmax's result."""
    if name in VIEWS and isinstance(out, Tensor):
        try:
            return stand.view(out.shape)
        except RuntimeError:  # its axes are not nested
            return None
    return operator(stand, *args[1:]) if name in MOVES else None


def as_used(name: str, args: tuple[Any, ...], operand: Tensor, stand: Tensor, left: bool) -> Tensor | None:
    """The stand-in of weights as a product uses them: (n, q, k) for several sequences, or (q, k) for one.

    Each of the n sequences has its own values, shared by its q queries. None if the layout is unclear.

    Args:
        name: name of the operator.
        args: its arguments.
        operand: the weights among them.
        stand: their stand-in.
        left: whether they are the left operand; an einsum has its own order.
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
    """(*b, *q, k) -> (n, q, k), with the given number of batch axes."""
    try:
        return stand.view(stand.shape[:batch].numel(), stand.shape[batch:-1].numel(), stand.shape[-1])
    except RuntimeError:
        return None


def columns(stand: Tensor | None, keys: int) -> tuple[int, int] | None:
    """The range of the softmax's columns that are used; None if they are not contiguous."""
    if stand is None or not stand.ndim or (stand.shape[-1] > 1 and stand.stride(-1) != 1):
        return None
    first = int(stand.storage_offset()) % keys
    return first, first + stand.shape[-1]


def equal(operand: Tensor, stand: Tensor, weights: Tensor) -> bool:
    """Whether a tensor has the values that its stand-in selects from the softmax's result."""
    return is_equal(operand, placed(weights, stand).to(operand.dtype))


def placed(weights: Tensor, stand: Tensor) -> Tensor:
    """The values of a softmax's result that a stand-in selects."""
    flat = weights.reshape(-1)
    return flat.as_strided(stand.shape, stand.stride(), flat.storage_offset() + stand.storage_offset())


def arranged(weights: Tensor, stand: Tensor | None, heads: int) -> tuple[Tensor, tuple[str, ...]] | None:
    """The weights to show, with the letters of their axes; None if their axes are in another order.

    Args:
        weights: a softmax's result.
        stand: the result of `as_used`.
        heads: number of heads of the module; 0 if unknown.
    """
    keys = weights.shape[-1]
    if weights.ndim == 1:
        return weights[None], ("q", "k")
    rows = weights.shape[-2]
    if weights.ndim == 2:
        if stand is None or (stand.ndim == 2 and len(stand) == rows):
            return weights, ("q", "k")
        if stand.ndim < 3:  # each row separately
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
            if (n, q) == (rows, len(weights)) and is_swapped(weights, stand):
                return weights.transpose(0, 1), ("n", "q", "k")
        return weights, ("n", "q", "k")
    if stand is not None and stand.ndim == 3 and rows > 1 and stand.shape[1] > 1 and stand.stride(1) != keys:
        return None
    return weights, ("b", "h", "q", "k")


def is_swapped(weights: Tensor, stand: Tensor | None) -> bool:
    """Whether a product uses weights of three axes with the first two swapped."""
    if weights.ndim != 3 or stand is None or stand.ndim != 3:
        return False
    n, q, keys = stand.shape[0], stand.shape[1], weights.shape[-1]
    return n > 1 and q > 1 and not in_turn(stand, (n, q), keys) and in_turn(stand.transpose(0, 1), (q, n), keys)


def in_turn(stand: Tensor, shape: tuple[int, int], keys: int) -> bool:
    """Whether rows of this length are contiguous along two axes, the last within the first."""
    steps = (shape[1] * keys, keys)
    return all(size == 1 or step == is_ for size, step, is_ in zip(shape, steps, stand.stride(), strict=False))
