"""What was heard while a model ran: a value, to be asked, drawn, kept and sent."""

import fnmatch
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput, NotFound, nearest
from saccade.core.files import write_atomically
from saccade.explain import capture_file, measures, plots
from saccade.explain.attention_map import AttentionMap, Bounds, Rows, kept_map
from saccade.explain.page import framed, page
from saccade.explain.series import Call, series


class Labels(NamedTuple):
    """What the queries and the keys of a map are: tokens, times, places."""

    queries: list[str]
    keys: list[str]


Layer = tuple[Tensor, list[str], list[str]]  # weights (h, q, k) or (q, k), what the queries are, what the keys are


class Capture(Mapping[str, list[Tensor]]):
    """Qualified name of a tap, or of a module with attention -> what was heard there, detached from the graph.

    Args:
        axes: the names that are listened to, and the letters of the axes of what is heard there.
        some_queries: whether it is of chosen queries, whose places are not known.
    """

    def __init__(self, axes: Mapping[str, tuple[str, ...]] | None = None, some_queries: bool = False) -> None:
        self._some_queries = some_queries
        self._axes = dict(axes or {})
        self._heard: dict[str, list[AttentionMap]] = {name: [] for name in self._axes}
        self.labels: dict[str, Labels] = {}
        """What `label` said of each name."""
        self.unknown: dict[str, str] = {}
        """Modules with attention that could not be read, or whose weights are not those they use, and why."""

    def __getitem__(self, name: str) -> list[Tensor]:
        return [each.weights() for each in self.maps(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._heard)

    def __len__(self) -> int:
        return len(self._heard)

    def __contains__(self, name: object) -> bool:
        return name in self._heard  # and forms nothing

    def maps(self, name: str) -> Sequence[AttentionMap]:
        """What was heard, a map a call, of which a few rows may be asked for."""
        if name not in self._heard:
            raise NotFound(f"nothing was heard of {name!r}; {nearest(name, self._heard)}")
        return self._heard[name]

    def axes(self, name: str) -> tuple[str, ...]:
        """The letters of the axes, e.g. ("b", "q", "k")."""
        maps = self.maps(name)
        return maps[0].axes if maps else self._axes[name]

    def hear(self, heard: AttentionMap) -> None:
        """Keep a map."""
        if heard.turn is None:  # one that is heard again, as in a part of this, keeps its place
            heard.turn = sum(map(len, self._heard.values()))
        self._heard.setdefault(heard.name, []).append(heard)
        self._axes.setdefault(heard.name, heard.axes)

    def forget(self, name: str) -> None:
        """Leave out what was heard of a name."""
        self._heard.pop(name, None)
        self._axes.pop(name, None)

    def joined(self, name: str, axis: str | None = None) -> Tensor:
        """All calls as one tensor, laid end to end along an axis.

        Along that of who looks, the default, each key has its column: a call of fewer keys, as early in a generation,
        or of a cache that forgets, is 0 elsewhere.

        Args:
            name: where.
            axis: its letter; None: the last but one, that of who looks, where the calls are steps of one map.

        Raises:
            NotFound: no such name.
            InvalidInput: there is no such axis, or nothing was heard; no axis, and calls that are maps of their own.
        """
        axes = self.axes(name)
        by = axes[-2] if axis is None and len(axes) > 1 else axis
        if by is None or by not in axes:
            raise InvalidInput(f"{name} has the axes {' '.join(axes)}, not {axis!r}")
        calls = self[name]
        if axis is None and len(self._series(name, calls)) > 1:
            raise InvalidInput(f"{not_joined(name, by, calls)}; they are no steps of one map, and seen[name] has each")
        return self._end_to_end(name, by, calls, self.maps(name))

    def _end_to_end(self, name: str, axis: str, calls: list[Tensor], maps: Sequence[AttentionMap]) -> Tensor:
        if not calls:
            raise InvalidInput(f"{name} was not called while it was listened to")
        axes = maps[0].axes
        if axis == axes[-2]:
            calls = in_columns(calls, [each.gone for each in maps])
        place = axes.index(axis)
        if len({(each.axes, *call.shape[:place], *call.shape[place + 1 :])
                for each, call in zip(maps, calls, strict=True)}) > 1:  # fmt: skip
            raise InvalidInput(not_joined(name, axis, calls))
        return torch.cat(calls, dim=place)

    def _series(self, name: str, calls: Sequence[Tensor]) -> list[list[int]]:
        """The places of the calls that are steps of one map, map by map."""
        maps = self.maps(name)
        if any(each.axes[-2:] != ("q", "k") for each in maps):
            return [list(range(len(calls)))]
        return series([call_of(each, call) for each, call in zip(maps, calls, strict=True)])

    def in_turn(self, name: str) -> dict[str, Tensor]:
        """The calls as maps. Those that are steps of one map are joined; one of several maps, as of one module in
        several layers, or called both ways, or in several forwards, has the number of its first call."""
        return {said: weights for said, _, weights in self._turns(name)}

    def _turns(self, name: str) -> list[tuple[str, AttentionMap, Tensor]]:
        """Of each map its name, its first call, and its weights."""
        calls, maps = self[name], self.maps(name)  # formed once
        found = []
        every = self._series(name, calls) or [[]]
        for places in every:
            some = [maps[place] for place in places]
            axis = self.axes(name)[-2]
            weights = self._end_to_end(name, axis, [calls[place] for place in places], some)
            number = f"{name}, call {places[0]}".removeprefix(", ")
            found.append((name if len(every) == 1 else number, some[0], weights))
        return found

    def label(self, queries: Sequence[object], keys: Sequence[object] | None = None, only: str = "*") -> "Capture":
        """Say what queries and keys are, of the names that match: the same tokens where no keys are given."""
        said = Labels(*(list(map(str, side)) for side in (queries, queries if keys is None else keys)))
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

    def words(self) -> "Capture":
        """The same over words, where labels say pieces of them, such as "un" and "##believ": what the pieces of a word
        are given is summed, and averaged over those that look (`plots.words`). Names without labels stay as they are.

        Raises:
            InvalidInput: labels of another number than the weights have.
        """
        found = Capture(some_queries=self._some_queries)
        found.unknown = self.unknown
        for name in self:
            turns = self._turns(name)
            for said, each, weights in turns:
                if labels := self._labels(name, weights, len(turns) > 1):
                    (queries, rows), (keys, columns) = map(plots.words, labels)
                    weights = torch.from_numpy(plots.join(weights, rows, columns)).to(weights)
                    found.labels[said] = Labels(queries, keys)
                found.hear(kept_map(said, each.axes, weights, each.forward, each.turn))
        return found

    def select(self, only: str = "*", heads: Rows | None = None, queries: Rows | None = None) -> "Capture":
        """A part of it: the names that match, of which no other heads and queries are ever formed."""
        part = Capture(some_queries=self._some_queries or queries is not None)
        part.unknown = {name: why for name, why in self.unknown.items() if fnmatch.fnmatchcase(name, only)}
        for name in self.matching(only):
            for each in self.maps(name):
                part.hear(each.bounded(Bounds(heads, queries)))
            if name in self.labels and queries is None:
                part.labels[name] = self.labels[name]
        return part

    def entropy(self, name: str) -> Tensor:
        """How widely each look is spread, in nats: the weights' axes without the keys (`measures.entropy`)."""
        return torch.cat([measures.entropy(weights) for weights in self.in_turn(name).values()], -1)

    def distance(self, name: str) -> Tensor:
        """How far each look goes, in positions: the weights' axes without the keys (`measures.distance`).

        Raises:
            InvalidInput: of chosen queries; of calls that cannot be laid end to end.
        """
        if self._some_queries:
            raise InvalidInput("these are chosen queries, and how far they are from a key is not known; capture all")
        calls = list(self.in_turn(name).values())
        if len({call.shape[:-2] for call in calls}) > 1:
            raise InvalidInput(f"{name} was called on batches of different sizes, which cannot be laid end to end")
        return torch.cat([measures.distance(call) for call in calls], -1)

    def rollout(self, only: str = "*", residual: float = 0.5) -> Tensor:
        """What of each input is in each output, (b, t, t), through the self-attention of all names that match, as they
        were called (`measures.rollout`).

        Raises:
            InvalidInput: of several forwards; no self-attention.
        """
        return measures.rollout(self._layers(only), residual)

    def flow(self, query: int, only: str = "*", residual: float = 0.5) -> Tensor:
        """The most that each input can send to one output, (b, t) (`measures.flow`)."""
        return measures.flow(self._layers(only), query, residual)

    def _layers(self, only: str) -> Iterator[Tensor]:
        """Their maps in the order in which they were called; one that is not the only one of its name is formed now."""
        found: list[tuple[int, str, Tensor | None]] = []
        for name in self.matching(only):
            maps = self.maps(name)
            turns = self._turns(name) if len(maps) > 1 else [(name, maps[0], None)] if maps else []
            if len(turns) > 1 and len({each.forward for each in maps}) > 1:
                raise InvalidInput(
                    f'{name} was heard in several forwards; capture each by itself, or with reduce="rollout"'
                )
            # calls that are one map stand where the first of them does
            found += [(first.turn or 0, name, call) for _, first, call in turns]
        for _, name, call in sorted(found, key=lambda each: each[0]):
            yield self[name][0] if call is None else call

    def alignments(
        self, name: str, row: int = 0, back: Iterable[measures.Link] | None = None, way: str = "intersection"
    ) -> set[measures.Link]:
        """Hard links (query, key): each query of one row and the key that it looks at most, by the mean of the heads.

        Args:
            name: where.
            row: which of the batch.
            back: links of the other direction, (key, query), as this method gives them of the model that goes there;
                None: these alone.
            way: how both are made one (`measures.symmetrised`).
        """
        found = measures.links(mean_of_heads(self._one(name, row)[0]))
        return found if back is None else measures.symmetrised(found, back, way)

    def plot(self, name: str | None = None, head: int | None = None, row: int = 0, title: str = "") -> plots.Figure:
        """A picture of one row of the batch, for `plots.save` or a notebook.

        Args:
            name: where; its heat map with the labels is drawn. None: a thumbnail of every head of every name.
            head: of that name this head; None: the mean of all.
            row: which of the batch.
            title: what stands above; of a name else the name.

        Raises:
            NotFound, InvalidInput: no such name, head or row; thumbnails of maps of different sizes.
        """
        if name is None:
            layers = self.layers(row)
            heads = [weights.reshape(-1, *weights.shape[-2:]) for weights, *_ in layers.values()]
            return plots.head_grid(heads, list(layers), title)
        weights, queries, keys = self._one(name, row)
        if head is not None and not (weights.ndim == 3 and 0 <= head < len(weights)):
            raise InvalidInput(f"{name}: there is no head {head} in weights of shape {tuple(weights.shape)}")
        drawn, what = (mean_of_heads(weights), "") if head is None else (weights[head], f", head {head}")
        said = title or f"{name}{what}"
        return plots.alignment(drawn, queries, keys, rows_label="queries", columns_label="keys", title=said)

    def to_html(self, path: str | os.PathLike[str], title: str = "attention", row: int = 0) -> Path:
        """Write one HTML file in which every head can be looked at: layers, heads, one token's looks, the matrix.

        It needs nothing from a network. Names without labels have numbers for tokens.

        Args:
            path: the file, replaced whole; missing folders are made.
            title: what the page is of.
            row: which of the batch.

        Raises:
            InvalidInput: nothing was heard; labels of another number than the weights have; no such row.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), page(self.layers(row), title).encode("utf-8"))
        return Path(path)

    def _repr_html_(self) -> str:
        """What a notebook shows of it: the page of `to_html`, of the first row."""
        return framed(self.layers(0, name) for name in self)

    def layers(self, row: int = 0, only: str = "*") -> dict[str, Layer]:
        """Of one row of the batch: the weights (h, q, k) of each name that matches, and what its queries and keys are;
        without labels their numbers.

        Raises:
            NotFound: no name matches.
            InvalidInput: no such row.
        """
        layers = {}
        for name in [only] if only in self else self.matching(only):
            turns = self._turns(name)
            for said, first, weights in turns:
                if first.axes[0] != "q":
                    if not -len(weights) <= row < len(weights):
                        raise InvalidInput(f"{name}: there are {len(weights)} rows, from 0, and no {row}")
                    weights = weights[row]
                counted = Labels(*(list(map(str, range(size))) for size in weights.shape[-2:]))
                layers[said] = (weights, *(self._labels(name, weights, len(turns) > 1) or counted))
        return layers

    def _labels(self, name: str, weights: Tensor, several: bool) -> Labels | None:
        """The labels of a map. One of several has those that are as many, as where a module is called both ways."""
        said = self.labels.get(name)
        if said is None or not several:
            return said
        ways = (said, Labels(said.keys, said.queries))
        return next((each for each in ways if tuple(map(len, each)) == tuple(weights.shape[-2:])), None)

    def _one(self, name: str, row: int) -> Layer:
        found = self.layers(row, name)
        if name not in found:
            raise InvalidInput(
                f"{name} was called {len(found)} times, each on a whole sequence; seen[name] has each map"
            )
        return found[name]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all weights, with names, axes and labels, into one safetensors file, replaced whole; missing
        folders are made.

        Raises:
            InvalidInput: nothing was heard.
        """
        said, tensors = self._written()
        if not tensors:
            raise InvalidInput("nothing was heard, so there is nothing to save")
        capture_file.write(Path(path), said, tensors)

    def _written(self) -> tuple[dict[str, Any], list[Tensor]]:
        """All that it is: plain values, and the weights."""
        maps = [each for name in self for each in self.maps(name)]
        return {
            "names": [each.name for each in maps],
            "turns": [each.turn for each in maps],
            "forwards": [each.forward for each in maps],
            "axes of maps": [list(each.axes) for each in maps],
            "sizes": [each.sizes for each in maps],
            "gone": [each.gone for each in maps],
            "apart": [each.apart for each in maps],
            "axes": {name: list(self.axes(name)) for name in self},
            "labels": {name: labels._asdict() for name, labels in self.labels.items()},
            "unknown": self.unknown,
            "some_queries": self._some_queries,
        }, [each.weights() for each in maps]

    @classmethod
    def _read(cls, kept: dict[str, Any], tensors: list[Tensor]) -> "Capture":
        found = cls({name: tuple(axes) for name, axes in kept["axes"].items()}, bool(kept.get("some_queries")))
        count, names = len(tensors), kept["names"]
        turns, forwards = kept.get("turns", range(count)), kept.get("forwards", [0] * count)
        axes = kept.get("axes of maps", [found._axes[name] for name in names])
        more = zip(kept.get("sizes", [None] * count), kept.get("gone", [0] * count), kept.get("apart", [False] * count),
                   strict=True)  # fmt: skip
        for name, tensor, of, forward, turn, (sizes, gone, apart) in zip(
            names, tensors, axes, forwards, turns, more, strict=True
        ):
            if tensor.ndim != len(of):
                raise ValueError(f"{name} has {tensor.ndim} axes, not {len(of)}")
            both = None if sizes is None else (int(sizes[0]), int(sizes[1]))
            found.hear(kept_map(name, tuple(of), tensor, int(forward), int(turn), both, int(gone), bool(apart)))
            if found._heard[name][0].axes != found._axes[name]:
                raise ValueError(f"{name} has two kinds of axes")
        found.labels = {name: Labels(**labels) for name, labels in kept["labels"].items()}
        found.unknown = dict(kept.get("unknown", {}))
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied or pickled it is its weights, and no longer what they are made of."""
        return Capture._read, self._written()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Capture":
        """What `save` wrote.

        Raises:
            NotFound: no such file.
            InvalidInput: a file that is damaged, or of something else.
        """
        said, tensors = capture_file.read(Path(path))
        try:
            return cls._read(said, tensors)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InvalidInput(f"{path} is no capture, or damaged: {error}") from error


def mean_of_heads(weights: Tensor) -> Tensor:
    """(h, q, k) or (q, k) -> (q, k)."""
    return weights.mean(0) if weights.ndim == 3 else weights


def call_of(heard: AttentionMap, weights: Tensor) -> Call:
    """What there is to know of a call, to tell whether it is a step."""
    queries, keys = heard.sizes or tuple(weights.shape[-2:])
    return Call(heard.forward, (heard.axes, *weights.shape[:-2]), queries, keys, heard.gone, heard.apart)


def in_columns(calls: Sequence[Tensor], gone: Sequence[int]) -> list[Tensor]:
    """Each key in the same column in all calls; 0 where a call has none."""
    first = min(gone)
    last = max(before + call.shape[-1] for before, call in zip(gone, calls, strict=True))
    return [
        F.pad(call, (before - first, last - before - call.shape[-1])) for before, call in zip(gone, calls, strict=True)
    ]


def not_joined(name: str, axis: str, calls: Sequence[Tensor]) -> str:
    came = ", ".join(map(str, sorted({tuple(call.shape) for call in calls})))
    return f"{name} was called on what cannot be laid end to end along {axis!r}: {came}"
