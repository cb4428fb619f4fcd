"""A tap names a tensor worth seeing. Silent, it is the identity and costs nothing; `explain.capture` listens to it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Listener = Callable[[Tensor], Tensor]


class Tap(nn.Module):
    """A parameter-free identity with named axes, e.g. `Tap("b h q k")`.

    `tap(x)` returns x, or a listener's replacement for it. `tap.lazy(function)` is for a tensor that the model itself
    does not need: it is computed only while something listens, and cannot be replaced, so if `replacing` is true the
    model computes the tensor and calls `tap(x)`. A tap has no entry in `state_dict`.
    """

    def __init__(self, axes: str) -> None:
        super().__init__()
        self.axes = tuple(axes.split())
        self.listener: Listener | None = None
        self.replacing = False
        self.reached: Callable[[], None] | None = None
        """Called when `lazy` is reached while the surrounding operators are captured."""

    def forward(self, tensor: Tensor) -> Tensor:
        return tensor if self.listener is None else self.listener(tensor)

    def lazy(self, function: Callable[[], Tensor]) -> None:
        if self.reached is not None:
            self.reached()
        if self.listener is not None:
            with torch.no_grad():  # the autograd graph is the same as without a listener
                self.listener(function())

    def extra_repr(self) -> str:
        return repr(" ".join(self.axes))
