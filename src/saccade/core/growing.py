"""A tensor that grows along an axis without being copied at each step.

A decoder that generates step by step keeps the keys and values of earlier positions. Concatenating them at every step
copies T^2 / 2 positions in T steps; here the buffer has spare room, and is copied only when that runs out, to a buffer
twice as large. Existing tensors never change: a longer tensor shares the storage of the one it grew from, and only the
first tensor grown from the newest one writes into the spare room.
"""

from collections.abc import Callable

import torch
from torch import Tensor

ROOM = 16  # positions in the smallest buffer


class Growing:
    """The first positions of a buffer.

    Args:
        tensor: the positions to start with.
        axis: the axis of the positions.
    """

    def __init__(self, tensor: Tensor, axis: int) -> None:
        self.tensor, self.axis = tensor, axis
        self._buffer, self._used = tensor, [tensor.shape[axis]]

    def extended(self, more: Tensor) -> "Growing":
        """The tensor with more positions appended. If a gradient is needed, the two are concatenated into a new
        tensor."""
        if torch.is_grad_enabled() and (self.tensor.requires_grad or more.requires_grad):
            return Growing(torch.cat([self.tensor, more], self.axis), self.axis)
        here = self.tensor.shape[self.axis]
        size = here + more.shape[self.axis]
        grown = object.__new__(Growing)
        grown.axis, grown._buffer, grown._used = self.axis, self._buffer, self._used
        if self._used[0] > here or size > self._buffer.shape[self.axis] or more.dtype != self.tensor.dtype:
            shape = list(self.tensor.shape)
            shape[self.axis] = max(2 * size, ROOM)
            dtype = torch.promote_types(self.tensor.dtype, more.dtype)
            grown._buffer, grown._used = self.tensor.new_empty(shape, dtype=dtype), [0]
            grown._buffer.narrow(self.axis, 0, here).copy_(self.tensor)
        grown._buffer.narrow(self.axis, here, size - here).copy_(more)
        grown._used[0] = size
        grown.tensor = grown._buffer.narrow(self.axis, 0, size)
        return grown

    def map(self, function: Callable[[Tensor], Tensor]) -> "Growing":
        """A `Growing` of the tensor that the function returns, which has the same axes."""
        mapped = function(self.tensor)
        return self if mapped is self.tensor else Growing(mapped, self.axis)
