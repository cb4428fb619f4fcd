"""Listen to the taps of a model while it runs, and put other tensors in their place.

with capture(model, only="*attention.weights") as seen:
    model(...)
seen["decoder.recurrent.attention.weights"]        # one tensor a call, in the order of the calls
seen.joined("decoder.recurrent.attention.weights") # (b, q, k): the calls of a recurrent decoder as rows of one map
"""

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput, NotFound, nearest
from saccade.core.tap import Tap

Replace = Callable[[str, Tensor], Tensor | None]


class Capture(Mapping[str, list[Tensor]]):
    """Qualified name of a tap -> what it heard, one tensor a call, detached from the graph."""

    def __init__(self, taps: Mapping[str, Tap]) -> None:
        self._heard: dict[str, list[Tensor]] = {name: [] for name in taps}
        self._axes = {name: tap.axes for name, tap in taps.items()}

    def __getitem__(self, name: str) -> list[Tensor]:
        if name not in self._heard:
            raise NotFound(f"there is no tap {name!r}; {nearest(name, self._heard)}")
        return self._heard[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._heard)

    def __len__(self) -> int:
        return len(self._heard)

    def axes(self, name: str) -> tuple[str, ...]:
        """The letters of the tap's axes, e.g. ("b", "q", "k")."""
        self[name]
        return self._axes[name]

    def joined(self, name: str, axis: str = "q") -> Tensor:
        """All calls of a tap as one tensor, laid end to end along an axis.

        Raises:
            NotFound: no such tap.
            InvalidInput: the tap has no such axis, or was not called.
        """
        if axis not in self.axes(name):
            raise InvalidInput(f"{name} has the axes {' '.join(self.axes(name))}, not {axis!r}")
        if not self[name]:
            raise InvalidInput(f"{name} was not called while it was listened to")
        return torch.cat(self[name], dim=self.axes(name).index(axis))


@contextmanager
def capture(model: nn.Module, only: str = "*", replace: Replace | None = None) -> Iterator[Capture]:
    """Listen on every tap whose qualified name matches; the model is as before when the block ends, however it ends.

    With `replace`, a backward pass that recomputes (activation checkpoints) belongs within the block too.

    Args:
        model: any module that holds taps.
        only: a pattern of names, as in a shell: "*decoder*".
        replace: called with the name and the tensor; what it returns takes the tensor's place, None leaves it.

    Raises:
        NotFound: no tap matches; the message names those that exist.
        InvalidInput: `replace` gave a tensor of another shape.
    """
    every = {name: module for name, module in model.named_modules() if isinstance(module, Tap)}
    taps = {name: tap for name, tap in every.items() if fnmatch.fnmatchcase(name, only)}
    if not taps:
        raise NotFound(f"no tap matches {only!r}; there are: {', '.join(every) or 'none in this model'}")
    heard = Capture(taps)
    before = {name: (tap.listener, tap.replacing) for name, tap in taps.items()}
    try:
        for name, tap in taps.items():
            tap.listener = _listener(name, heard, replace, tap.listener)
            tap.replacing = tap.replacing or replace is not None
        yield heard
    finally:
        for name, tap in taps.items():
            tap.listener, tap.replacing = before[name]


def _listener(
    name: str, heard: Capture, replace: Replace | None, outer: Callable[[Tensor], Tensor] | None
) -> Callable[[Tensor], Tensor]:
    def listen(tensor: Tensor) -> Tensor:
        tensor = tensor if outer is None else outer(tensor)
        if replace is not None and (other := replace(name, tensor)) is not None:
            if other.shape != tensor.shape:
                raise InvalidInput(
                    f"{name}: a replacement must have shape {tuple(tensor.shape)}, not {tuple(other.shape)}"
                )
            tensor = other
        # a forward that activation checkpointing runs again, inside the backward pass, was heard the first time
        if torch._C._current_graph_task_id() == -1:
            heard[name].append(tensor.detach())
        return tensor

    return listen
