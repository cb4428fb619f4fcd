"""A tensor that grows at the end of an axis, and is not copied anew each time it does.

A decoder that goes step by step keeps what it has seen. Joined anew at every step, T positions are copied T^2 / 2
times; here there is room behind them, and only when it is used up are they copied, to twice the room. What has been
made never changes: a longer tensor shares its storage with the one it grew from, which does not look so far, and only
the first that grows from the last may use the room.
"""

from collections.abc import Callable

import torch
from torch import Tensor

ROOM = 16  # positions there are at least


class Growing:
    """So many positions of a buffer.

    Args:
        tensor: the positions there are.
        axis: that of the positions.
    """

    def __init__(self, tensor: Tensor, axis: int) -> None:
        self.tensor, self.axis = tensor, axis
        self._buffer, self._used = tensor, [tensor.shape[axis]]

    def extended(self, more: Tensor) -> "Growing":
        """With further positions behind. Where a gradient is wanted they are joined in a new tensor."""
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
        """Of what a function makes of the tensor, whose axes it keeps."""
        mapped = function(self.tensor)
        return self if mapped is self.tensor else Growing(mapped, self.axis)
