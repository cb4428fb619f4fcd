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
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput, NotFound, nearest
from saccade.core.files import write_atomically
from saccade.core.tap import Tap
from saccade.explain import measures
from saccade.explain.attention_map import AttentionMap, Bounds, Rows, kept_map
from saccade.explain.interventions import Replace, replaced
from saccade.explain.listening import Listening
from saccade.explain.page import framed, page

VERSION = "1"  # of the file
NOWHERE = (
    "there was none: no fused kernel, and no softmax over the last axis between two products; "
    "was the model called within the block, and in this thread?"
)


class Labels(NamedTuple):
    """What the queries and the keys of a map are: tokens, times, places."""

    queries: list[str]
    keys: list[str]


class Capture(Mapping[str, list[Tensor]]):
    """Qualified name of a tap, or of a module with attention -> what was heard there, detached from the graph.

    Args:
        axes: the names that are listened to, and the letters of the axes of what is heard there.
    """

    def __init__(self, axes: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._axes = dict(axes or {})
        self._heard: dict[str, list[AttentionMap]] = {name: [] for name in self._axes}
        self.labels: dict[str, Labels] = {}
        """What `label` said of each name."""
        self.unknown: dict[str, str] = {}
        """Modules with attention that could not be read, and why."""

    def __getitem__(self, name: str) -> list[Tensor]:
        return [each.weights() for each in self.maps(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._heard)

    def __len__(self) -> int:
        return len(self._heard)

    def maps(self, name: str) -> Sequence[AttentionMap]:
        """What was heard, a map a call, of which a few rows may be asked for."""
        if name not in self._heard:
            raise NotFound(f"nothing was heard of {name!r}; {nearest(name, self._heard)}")
        return self._heard[name]

    def axes(self, name: str) -> tuple[str, ...]:
        """The letters of the axes, e.g. ("b", "q", "k")."""
        self.maps(name)
        return self._axes[name]

    def hear(self, heard: AttentionMap) -> None:
        """Keep a map."""
        self._heard.setdefault(heard.name, []).append(heard)
        self._axes.setdefault(heard.name, heard.axes)

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
        place = axes.index(axis)
        if len({(*call.shape[:place], *call.shape[place + 1 :]) for call in calls}) > 1:
            came = ", ".join(map(str, sorted({tuple(call.shape) for call in calls})))
            raise InvalidInput(f"{name} was called on what cannot be laid end to end along {axis!r}: {came}")
        return torch.cat(calls, dim=place)

    def label(self, queries: Sequence[str], keys: Sequence[str] | None = None, only: str = "*") -> "Capture":
        """Say what queries and keys are, of the names that match: the same tokens where no keys are given."""
        said = Labels(list(queries), list(queries if keys is None else keys))
        self.labels |= dict.fromkeys(self.matching(only), said)
        return self

    def matching(self, only: str) -> list[str]:
        """The names that match a pattern, in the order in which they were heard.

        Raises:
            NotFound: none does.
        """
        found = [name for name in self if fnmatch.fnmatchcase(name, only)]
        if not found:
            raise NotFound(f"nothing that was heard matches {only!r}; there is: {', '.join(map(repr, self))}")
        return found

    def select(self, only: str = "*", heads: Rows | None = None, queries: Rows | None = None) -> "Capture":
        """A part of it: the names that match, of which no other heads and queries are ever formed."""
        part = Capture()
        for name in self.matching(only):
            for each in self.maps(name):
                part.hear(each.bounded(Bounds(heads, queries)))
            if name in self.labels and queries is None:
                part.labels[name] = self.labels[name]
        return part

    def entropy(self, name: str) -> Tensor:
        """How widely each look is spread, in nats: the weights' axes without the keys (`measures.entropy`)."""
        return measures.entropy(self.joined(name))

    def distance(self, name: str) -> Tensor:
        """How far each look goes, in positions: the weights' axes without the keys (`measures.distance`)."""
        return measures.distance(self.joined(name))

    def rollout(self, only: str = "*", residual: float = 0.5) -> Tensor:
        """What of each input is in each output, (b, t, t), through the self-attention of all names that match, in their
        order (`measures.rollout`)."""
        return measures.rollout([self.joined(name) for name in self.matching(only)], residual)

    def flow(self, query: int, only: str = "*", residual: float = 0.5) -> Tensor:
        """The most that each input can send to one output, (b, t) (`measures.flow`)."""
        return measures.flow([self.joined(name) for name in self.matching(only)], query, residual)

    def to_html(self, path: str | os.PathLike[str], title: str = "attention", row: int = 0) -> Path:
        """Write one HTML file in which every head can be looked at: layers, heads, one token's looks, the matrix.

        It needs nothing from a network. Names without labels have numbers for tokens.

        Args:
            path: the file, replaced whole.
            title: what the page is of.
            row: which of the batch.

        Raises:
            InvalidInput: nothing was heard; labels of another number than the weights have; no such row.
        """
        write_atomically(Path(path), page(self.layers(row), title).encode("utf-8"))
        return Path(path)

    def _repr_html_(self) -> str:
        """What a notebook shows of it: the page of `to_html`, of the first row."""
        return framed(self.select(name).layers() for name in self)

    def layers(self, row: int = 0) -> dict[str, tuple[Tensor, list[str], list[str]]]:
        """Of one row of the batch: each name's weights (h, q, k), and what its queries and keys are; without labels
        their numbers.

        Raises:
            InvalidInput: no such row.
        """
        layers = {}
        for name in self:
            weights = self.joined(name)
            if self.axes(name)[0] != "q":
                if not -len(weights) <= row < len(weights):
                    raise InvalidInput(f"{name}: there are {len(weights)} rows, from 0, and no {row}")
                weights = weights[row]
            counted = Labels(*(list(map(str, range(size))) for size in weights.shape[-2:]))
            layers[name] = (weights, *self.labels.get(name, counted))
        return layers

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all weights, with names, axes and labels, into one safetensors file, replaced whole.

        Raises:
            InvalidInput: nothing was heard.
        """
        tensors = {
            f"{number}": t.cpu().clone().contiguous() for number, t in enumerate(t for name in self for t in self[name])
        }
        if not tensors:
            raise InvalidInput("nothing was heard, so there is nothing to save")
        kept = {
            "names": [name for name in self for _ in self.maps(name)],
            "axes": {name: list(axes) for name, axes in self._axes.items()},
            "labels": {name: labels._asdict() for name, labels in self.labels.items()},
        }
        said = {"saccade capture": VERSION, "capture": json.dumps(kept, ensure_ascii=False)}
        write_atomically(Path(path), safetensors.torch.save(tensors, said))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Capture":
        """What `save` wrote.

        Raises:
            NotFound: no such file.
            InvalidInput: a file that is damaged, or of something else.
        """
        path = Path(path)
        if not path.is_file():
            raise NotFound(f"{path}: there is no such file")
        try:
            with safetensors.safe_open(path, "pt") as file:
                said = file.metadata() or {}
                tensors = [file.get_tensor(f"{number}") for number in range(len(file.keys()))]
        except (safetensors.SafetensorError, OSError) as error:
            raise InvalidInput(f"{path} is no capture, or damaged: {error}") from error
        if said.get("saccade capture") != VERSION:
            raise InvalidInput(f"{path} is no capture that `Capture.save` of this version wrote")
        kept = json.loads(said["capture"])
        found = cls({name: tuple(axes) for name, axes in kept["axes"].items()})
        for name, tensor in zip(kept["names"], tensors, strict=True):
            found.hear(kept_map(name, found.axes(name), tensor))
        found.labels = {name: Labels(**labels) for name, labels in kept["labels"].items()}
        return found


@contextmanager
def capture(
    model: nn.Module,
    only: str = "*",
    replace: Replace | None = None,
    heads: Rows | None = None,
    queries: Rows | None = None,
    reduce: Literal["mean", "max"] | None = None,
) -> Iterator[Capture]:
    """Listen to every name that matches; the model is as before when the block ends, however it ends.

    With `replace`, a backward pass that recomputes (activation checkpoints) belongs within the block too.

    Args:
        model: any module: the taps in it are listened to, or where there is none its operators.
        only: a pattern of names, as in a shell: "*decoder*".
        replace: called with the name and the tensor; what it returns takes the tensor's place, None leaves it. Of a
            model without taps weights are replaced, in `torch.no_grad()`.
        heads, queries: which of them are seen; None: all.
        reduce: of the heads that are seen their mean, or the largest weight; then the weights have no axis of heads.

    Raises:
        NotFound: nothing matches; the message names what there is. Of a model without taps it comes at the block's end.
        InvalidInput: `replace` gave a tensor of another shape; of a model without taps, there is a gradient, or its
            weights are never there to be replaced, or a part of it is always compiled, such as flex_attention.
    """
    every = {name: module for name, module in model.named_modules() if isinstance(module, Tap)}
    taps = {name: tap for name, tap in every.items() if fnmatch.fnmatchcase(name, only)}
    if every and not taps:
        raise NotFound(f"no tap matches {only!r}; there are: {', '.join(every)}")
    if reduce not in (None, "mean", "max"):
        raise InvalidInput(f'reduce must be "mean" or "max", not {reduce!r}')
    bounds = Bounds(heads, queries, reduce)
    heard = Capture({name: bounds.axes(tap.axes) for name, tap in taps.items()})
    before = {name: (tap.listener, tap.replacing) for name, tap in taps.items()}
    listening = Listening(model, lambda name: fnmatch.fnmatchcase(name, only), heard.hear, bounds, replace)
    try:
        for name, tap in taps.items():
            tap.listener = _listener(name, tap.axes, heard, bounds, replace, tap.listener)
            tap.replacing = tap.replacing or replace is not None
        with warnings.catch_warnings(), nullcontext() if every else listening:
            # it asks whether global hooks are meant for a compiled module, and they are
            warnings.filterwarnings("ignore", message="Using `torch.compile\\(module\\)` when there are global hooks")
            yield heard
    except RuntimeError as error:
        if "torch dispatch mode present" not in str(error):
            raise
        raise InvalidInput(
            "a part of this model is always compiled, as flex_attention is; PyTorch runs it only while nobody listens"
        ) from error
    finally:
        for name, tap in taps.items():
            tap.listener, tap.replacing = before[name]
        heard.unknown = listening.unknown
    if not every and not heard and not heard.unknown:
        there = ", ".join(repr(name) for name in listening.places)
        raise NotFound(f"no attention was seen in a module that matches {only!r}; {seen_in(there)}")


def seen_in(names: str) -> str:
    return f"there was some in: {names}" if names else NOWHERE


def _listener(
    name: str,
    axes: tuple[str, ...],
    heard: Capture,
    bounds: Bounds,
    replace: Replace | None,
    outer: Callable[[Tensor], Tensor] | None,
) -> Callable[[Tensor], Tensor]:
    def listen(tensor: Tensor) -> Tensor:
        tensor = tensor if outer is None else outer(tensor)
        if replace is not None and (other := replaced(replace, name, tensor)) is not None:
            tensor = other
        # a forward that activation checkpointing runs again, inside the backward pass, was heard the first time
        if torch._C._current_graph_task_id() == -1:
            heard.hear(kept_map(name, bounds.axes(axes), bounds.kept(tensor.detach(), axes)))
        return tensor

    return listen
