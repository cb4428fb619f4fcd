"""Listen to a model while it runs, and put other tensors in their place.

with capture(model, only="*attention.weights") as seen:
    model(...)
seen["decoder.recurrent.attention.weights"]        # one tensor a call, in the order of the calls
seen.joined("decoder.recurrent.attention.weights") # (b, q, k): the calls of a recurrent decoder as rows of one map

A model of this library has taps, which name every tensor worth seeing. In any other model the operators are listened
to, and the names are those of the modules in which there was attention; nothing in the model changes, not to the last
bit. What is held is what the weights are made of, where a fused kernel makes none; they are formed when asked for.
"""

import fnmatch
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput, NotFound, nearest
from saccade.core.tap import Tap
from saccade.explain.attention_map import Asked, AttentionMap, Rows, chosen
from saccade.explain.interventions import Replace, replaced
from saccade.explain.listening import Listening


class Capture(Mapping[str, list[Tensor]]):
    """Qualified name of a tap, or of a module with attention -> what was heard there, detached from the graph."""

    def __init__(self, taps: Mapping[str, Tap], asked: Asked) -> None:
        self._heard: dict[str, list[AttentionMap]] = {name: [] for name in taps}
        self._axes = {name: tap.axes for name, tap in taps.items()}
        self._asked = asked
        self.unknown: dict[str, str] = {}
        """Modules with attention that could not be read, and why."""

    def __getitem__(self, name: str) -> list[Tensor]:
        return [each.weights() for each in self.maps(name)]

    def maps(self, name: str) -> Sequence[AttentionMap]:
        """What was heard, a map a call, of which a few rows may be asked for."""
        if name not in self._heard:
            raise NotFound(f"nothing was heard of {name!r}; {nearest(name, self._heard)}")
        return self._heard[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._heard)

    def __len__(self) -> int:
        return len(self._heard)

    def axes(self, name: str) -> tuple[str, ...]:
        """The letters of the axes, e.g. ("b", "q", "k")."""
        self.maps(name)
        return self._axes[name]

    def joined(self, name: str, axis: str = "q") -> Tensor:
        """All calls as one tensor, laid end to end along an axis; of fewer keys, as early in a generation, the rest
        is 0.

        Raises:
            NotFound: no such name.
            InvalidInput: there is no such axis, or nothing was heard.
        """
        axes = self.axes(name)
        if axis not in axes:
            raise InvalidInput(f"{name} has the axes {' '.join(axes)}, not {axis!r}")
        calls = self[name]
        if not calls:
            raise InvalidInput(f"{name} was not called while it was listened to")
        if axis == "q" and axes[-1] == "k":
            widest = max(call.shape[-1] for call in calls)
            calls = [F.pad(call, (0, widest - call.shape[-1])) for call in calls]
        return torch.cat(calls, dim=axes.index(axis))

    def hear(self, heard: AttentionMap) -> None:
        """Keep a map."""
        self._heard.setdefault(heard.name, []).append(heard)
        self._axes.setdefault(heard.name, heard.axes)

    def hear_tensor(self, name: str, tensor: Tensor) -> None:
        """Keep what a tap heard."""
        axes = self._axes[name]
        kept = chosen(tensor, axes, self._asked)
        self._heard[name].append(AttentionMap(name, axes, lambda asked: chosen(kept, axes, asked)))


@contextmanager
def capture(
    model: nn.Module,
    only: str = "*",
    replace: Replace | None = None,
    heads: Rows | None = None,
    queries: Rows | None = None,
) -> Iterator[Capture]:
    """Listen to every name that matches; the model is as before when the block ends, however it ends.

    With `replace`, a backward pass that recomputes (activation checkpoints) belongs within the block too.

    Args:
        model: any module: the taps in it are listened to, or where there is none its operators.
        only: a pattern of names, as in a shell: "*decoder*".
        replace: called with the name and the tensor; what it returns takes the tensor's place, None leaves it. Of a
            model without taps weights are replaced, in `torch.no_grad()`.
        heads, queries: which of them are seen; None: all.

    Raises:
        NotFound: nothing matches; the message names what there is. Of a model without taps it comes at the block's end.
        InvalidInput: `replace` gave a tensor of another shape; of a model without taps, there is a gradient, or its
            weights are never there to be replaced.
    """
    every = {name: module for name, module in model.named_modules() if isinstance(module, Tap)}
    taps = {name: tap for name, tap in every.items() if fnmatch.fnmatchcase(name, only)}
    if every and not taps:
        raise NotFound(f"no tap matches {only!r}; there are: {', '.join(every)}")
    heard = Capture(taps, Asked(heads, queries))
    before = {name: (tap.listener, tap.replacing) for name, tap in taps.items()}
    listening = Listening(
        model, lambda name: fnmatch.fnmatchcase(name, only), heard.hear, Asked(heads, queries), replace
    )
    try:
        for name, tap in taps.items():
            tap.listener = _listener(name, heard, replace, tap.listener)
            tap.replacing = tap.replacing or replace is not None
        with warnings.catch_warnings(), nullcontext() if every else listening:
            # it asks whether global hooks are meant for a compiled module, and they are
            warnings.filterwarnings("ignore", message="Using `torch.compile\\(module\\)` when there are global hooks")
            yield heard
    finally:
        for name, tap in taps.items():
            tap.listener, tap.replacing = before[name]
        heard.unknown = listening.unknown
    if not every and not heard and not heard.unknown:
        there = ", ".join(repr(name) for name in listening.places)
        raise NotFound(f"no attention was seen in a module that matches {only!r}; {seen_in(there)}")


def seen_in(names: str) -> str:
    return f"there was some in: {names}" if names else "there was none at all; was the model called within the block?"


def _listener(
    name: str, heard: Capture, replace: Replace | None, outer: Callable[[Tensor], Tensor] | None
) -> Callable[[Tensor], Tensor]:
    def listen(tensor: Tensor) -> Tensor:
        tensor = tensor if outer is None else outer(tensor)
        if replace is not None and (other := replaced(replace, name, tensor)) is not None:
            tensor = other
        # a forward that activation checkpointing runs again, inside the backward pass, was heard the first time
        if torch._C._current_graph_task_id() == -1:
            heard.hear_tensor(name, tensor.detach())
        return tensor

    return listen
