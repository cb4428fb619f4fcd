"""A tap names a tensor worth seeing. Silent, it is the identity and costs nothing; `explain.capture` listens to it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Listener = Callable[[Tensor], Tensor]


class Tap(nn.Module):
    """A parameter-free identity with named axes, e.g. `Tap("b h q k")`.

    `tap(x)` returns x, or what a listener puts in its place. `tap.lazy(function)` computes a tensor only while someone
    listens, for what the model itself does not need; nothing is put in its place, so where `replacing` is true the
    model computes the tensor itself and calls `tap(x)`. There is no entry in `state_dict`.
    """

    def __init__(self, axes: str) -> None:
        super().__init__()
        self.axes = tuple(axes.split())
        self.listener: Listener | None = None
        self.replacing = False
        self.reached: Callable[[], None] | None = None
        """Called where `lazy` is reached, while the operators around are listened to."""

    def forward(self, tensor: Tensor) -> Tensor:
        return tensor if self.listener is None else self.listener(tensor)

    def lazy(self, function: Callable[[], Tensor]) -> None:
        if self.reached is not None:
            self.reached()
        if self.listener is not None:
            with torch.no_grad():  # the graph, and what it keeps for the backward pass, are as if nobody listened
                self.listener(function())

    def extra_repr(self) -> str:
        return repr(" ".join(self.axes))
