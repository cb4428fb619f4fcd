"""The result of a capture: a value that can be measured, drawn, saved and exported."""

import fnmatch
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from saccade.core.errors import InvalidInput, NotFound, nearest
from saccade.core.files import write_atomically
from saccade.explain import capture_file, measures, plots
from saccade.explain.attention_map import AttentionMap, Bounds, Rows, kept_map
from saccade.explain.joined import end_to_end, not_joined, steps_of_maps
from saccade.explain.names import readable
from saccade.explain.page import framed, page


class Labels(NamedTuple):
    """Labels of the queries and the keys of a map: tokens, times or positions."""

    queries: list[str]
    keys: list[str]


Layer = tuple[Tensor, list[str], list[str]]  # weights (h, q, k) or (q, k), labels of the queries, labels of the keys


class Capture(Mapping[str, list[Tensor]]):
    """A mapping from the qualified name of a tap, or of a module with attention, to the tensors captured there,
    detached.

    Args:
        axes: the captured names, with the letters of their axes.
        some_queries: True if only some queries were captured; their positions are then unknown.
    """

    def __init__(self, axes: Mapping[str, tuple[str, ...]] | None = None, some_queries: bool = False) -> None:
        self._some_queries = some_queries
        self._axes = dict(axes or {})
        self._heard: dict[str, list[AttentionMap]] = {name: [] for name in self._axes}
        self.labels: dict[str, Labels] = {}
        """The labels of each name, as set by `label`."""
        self.unknown: dict[str, str] = {}
        """Modules whose attention could not be read, or whose captured weights are not those they use, with the
        reason."""

    def __getitem__(self, name: str) -> list[Tensor]:
        return [each.weights() for each in self.maps(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._heard)

    def __len__(self) -> int:
        return len(self._heard)

    def __contains__(self, name: object) -> bool:
        return name in self._heard  # does not compute any weights

    def maps(self, name: str) -> Sequence[AttentionMap]:
        """The captured maps, one per call; each computes the rows that are requested."""
        if name not in self._heard:
            raise NotFound(f"nothing was captured for {name!r}; {nearest(name, self._heard)}")
        return self._heard[name]

    def axes(self, name: str) -> tuple[str, ...]:
        """The letters of the axes, e.g. ("b", "q", "k")."""
        maps = self.maps(name)
        return maps[0].axes if maps else self._axes[name]

    def hear(self, heard: AttentionMap) -> None:
        """Add a map."""
        if heard.turn is None:  # a map that already has a number, such as in a part of another capture, keeps it
            heard.turn = sum(map(len, self._heard.values()))
        self._heard.setdefault(heard.name, []).append(heard)
        self._axes.setdefault(heard.name, heard.axes)

    def forget(self, name: str) -> None:
        """Remove what was captured for a name."""
        self._heard.pop(name, None)
        self._axes.pop(name, None)

    def joined(self, name: str, axis: str | None = None) -> Tensor:
        """All calls as one tensor, concatenated along an axis.

        By default along the axis of queries. Each key has its own column: a call with fewer keys, such as an early step
        of a generation, or one whose cache dropped keys, is 0 elsewhere.

        Args:
            name: the name.
            axis: letter of the axis; by default the axis of queries, the last but one, if the calls are steps of one
                map.

        Raises:
            NotFound: no such name.
            InvalidInput: there is no such axis, or nothing was captured; no axis was given and the calls are separate
                maps.
        """
        axes = self.axes(name)
        by = axes[-2] if axis is None and len(axes) > 1 else axis
        if by is None or by not in axes:
            raise InvalidInput(f"{name} has the axes {' '.join(axes)}, not {axis!r}")
        calls = self[name]
        if axis is None and len(steps_of_maps(self.maps(name), calls)) > 1:
            raise InvalidInput(f"{not_joined(name, by, calls)}; they are separate maps: use seen[name]")
        return end_to_end(name, by, calls, self.maps(name))

    def in_turn(self, name: str) -> dict[str, Tensor]:
        """The calls as maps. Calls that are steps of one map are joined. If a name has several maps, because a module
        is used in several layers, in both directions or in several forwards, each is named with the number of its first
        call."""
        return {said: weights for said, _, weights in self._turns(name)}

    def _turns(self, name: str) -> list[tuple[str, AttentionMap, Tensor]]:
        """The name, the first call, and the weights of each map."""
        calls, maps = self[name], self.maps(name)  # computed once
        found = []
        every = steps_of_maps(self.maps(name), calls) or [[]]
        for places in every:
            some = [maps[place] for place in places]
            axis = self.axes(name)[-2]
            weights = end_to_end(name, axis, [calls[place] for place in places], some)
            number = f"{name}, call {places[0]}".removeprefix(", ")
            found.append((name if len(every) == 1 else number, some[0], weights))
        return found

    def label(self, queries: Sequence[object], keys: Sequence[object] | None = None, only: str = "*") -> "Capture":
        """Label the queries and keys of the names that match; by default keys have the labels of the queries."""
        said = Labels(*(list(map(str, side)) for side in (queries, queries if keys is None else keys)))
        self.labels |= dict.fromkeys(self.matching(only), said)
        return self

    def matching(self, only: str) -> list[str]:
        """The names that match a pattern, in the order of their capture.

        Raises:
            NotFound: none matches.
        """
        found = [name for name in self if fnmatch.fnmatchcase(name, only)]
        if not found:
            raise NotFound(f"no captured name matches {only!r}; there are: {', '.join(map(repr, self))}")
        return found

    def words(self) -> "Capture":
        """The capture over words, if labels are pieces of words, such as "un" and "##believ": weights are summed over
        the keys and averaged over the queries of a word (`plots.words`). Names without labels are unchanged.

        Raises:
            InvalidInput: the number of labels does not match the weights.
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
        """A part of the capture: the names that match, restricted to these heads and queries; nothing else is
        computed."""
        part = Capture(some_queries=self._some_queries or queries is not None)
        part.unknown = {name: why for name, why in self.unknown.items() if fnmatch.fnmatchcase(name, only)}
        for name in self.matching(only):
            for each in self.maps(name):
                part.hear(each.bounded(Bounds(heads, queries)))
            if name in self.labels and queries is None:
                part.labels[name] = self.labels[name]
        return part

    def entropy(self, name: str) -> Tensor:
        """The entropy of each query's weights, in nats, with the axes of the weights without the keys
        (`measures.entropy`)."""
        return torch.cat([measures.entropy(weights) for weights in self.in_turn(name).values()], -1)

    def distance(self, name: str) -> Tensor:
        """The mean distance of each query's attention, in positions, with the axes of the weights without the keys
        (`measures.distance`).

        Raises:
            InvalidInput: only some queries were captured; calls that cannot be concatenated.
        """
        if self._some_queries:
            raise InvalidInput("distances are unknown, since only some queries were captured; capture all queries")
        calls = list(self.in_turn(name).values())
        if len({call.shape[:-2] for call in calls}) > 1:
            raise InvalidInput(f"{name} was called on batches of different sizes, which cannot be concatenated")
        return torch.cat([measures.distance(call) for call in calls], -1)

    def rollout(self, only: str = "*", residual: float = 0.5) -> Tensor:
        """The share of each input in each output, (b, t, t), through the self-attention of all names that match, in the
        order of their calls (`measures.rollout`).

        Raises:
            InvalidInput: several forwards were captured; the attention is not self-attention.
        """
        return measures.rollout(self._layers(only), residual)

    def flow(self, query: int, only: str = "*", residual: float = 0.5) -> Tensor:
        """The largest flow from each input to one output, (b, t) (`measures.flow`)."""
        return measures.flow(self._layers(only), query, residual)

    def _layers(self, only: str) -> Iterator[Tensor]:
        """The maps of these names in the order of their calls; if a name has several, they are computed now."""
        found: list[tuple[int, str, Tensor | None]] = []
        for name in self.matching(only):
            maps = self.maps(name)
            turns = self._turns(name) if len(maps) > 1 else [(name, maps[0], None)] if maps else []
            if len(turns) > 1 and len({each.forward for each in maps}) > 1:
                raise InvalidInput(
                    f'{name} was captured in several forwards; capture each separately, or with reduce="rollout"'
                )
            # calls that are one map take the position of the first of them
            found += [(first.turn or 0, name, call) for _, first, call in turns]
        for _, name, call in sorted(found, key=lambda each: each[0]):
            yield self[name][0] if call is None else call

    def alignments(
        self, name: str, row: int = 0, back: Iterable[measures.Link] | None = None, way: str = "intersection"
    ) -> set[measures.Link]:
        """Hard links (query, key): for each query of one row the key with the largest weight, averaged over heads.

        Args:
            name: the name.
            row: row of the batch.
            back: links of the other direction, (key, query), from a model trained in that direction; by default none.
            way: how to combine both (`measures.symmetrised`).
        """
        found = measures.links(mean_of_heads(self._one(name, row)[0]))
        return found if back is None else measures.symmetrised(found, back, way)

    def plot(self, name: str | None = None, head: int | None = None, row: int = 0, title: str = "") -> plots.Figure:
        """A figure of one row of the batch, for `plots.save` or a notebook.

        Args:
            name: the name whose heat map is drawn, with labels; by default a thumbnail of every head of every name.
            head: the head of that name; by default the mean of all heads.
            row: row of the batch.
            title: the title; by default the name.

        Raises:
            NotFound, InvalidInput: no such name, head or row; thumbnails of maps that differ in size.
        """
        if name is None:
            layers = self.layers(row)
            heads = [weights.reshape(-1, *weights.shape[-2:]) for weights, *_ in layers.values()]
            return plots.head_grid(heads, readable(list(layers)), title)
        weights, queries, keys = self._one(name, row)
        if head is not None and not (weights.ndim == 3 and 0 <= head < len(weights)):
            raise InvalidInput(f"{name}: there is no head {head} in weights of shape {tuple(weights.shape)}")
        drawn, what = (mean_of_heads(weights), "") if head is None else (weights[head], f", head {head}")
        said = title or f"{name}{what}"
        return plots.alignment(drawn, queries, keys, rows_label="queries", columns_label="keys", title=said)

    def to_html(self, path: str | os.PathLike[str], title: str = "attention", row: int = 0) -> Path:
        """Write one HTML file for exploring every head: layers, heads, the attention of a token, the matrix.

        It works offline. Names without labels have numbers for tokens.

        Args:
            path: the file, replaced as a whole; missing folders are created.
            title: title of the page.
            row: row of the batch.

        Raises:
            InvalidInput: nothing was captured; the number of labels does not match the weights; no such row.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), page(self.layers(row), title).encode("utf-8"))
        return Path(path)

    def _repr_html_(self) -> str:
        """The page of `to_html` of the first row, for a notebook."""
        return framed(self.layers(0, name) for name in self)

    def layers(self, row: int = 0, only: str = "*") -> dict[str, Layer]:
        """For one row of the batch, the weights (h, q, k) of each name that matches, and the labels of its queries and
        keys, by default their numbers.

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
                        raise InvalidInput(f"{name}: expected a row from 0 to {len(weights) - 1}, not {row}")
                    weights = weights[row]
                counted = Labels(*(list(map(str, range(size))) for size in weights.shape[-2:]))
                layers[said] = (weights, *(self._labels(name, weights, len(turns) > 1) or counted))
        return layers

    def _labels(self, name: str, weights: Tensor, several: bool) -> Labels | None:
        """The labels of a map. If a name has several maps, as for a module called in both directions, labels are
        matched by their number."""
        said = self.labels.get(name)
        if said is None or not several:
            return said
        ways = (said, Labels(said.keys, said.queries))
        return next((each for each in ways if tuple(map(len, each)) == tuple(weights.shape[-2:])), None)

    def _one(self, name: str, row: int) -> Layer:
        found = self.layers(row, name)
        if name not in found:
            raise InvalidInput(
                f"{name} was called {len(found)} times, each time on a whole sequence; use seen[name] for its maps"
            )
        return found[name]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save all weights, with names, axes and labels, in one safetensors file, replaced as a whole; missing folders
        are created.

        Raises:
            InvalidInput: nothing was captured.
        """
        said, tensors = self._written()
        if not tensors:
            raise InvalidInput("nothing was captured, so there is nothing to save")
        capture_file.write(Path(path), said, tensors)

    def _written(self) -> tuple[dict[str, Any], list[Tensor]]:
        """The whole capture as plain values and weights."""
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
        """A copied or pickled capture holds the weights, not their inputs."""
        return Capture._read, self._written()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Capture":
        """Load a file that `save` wrote.

        Raises:
            NotFound: no such file.
            InvalidInput: a damaged file, or not a capture.
        """
        said, tensors = capture_file.read(Path(path))
        try:
            return cls._read(said, tensors)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InvalidInput(f"{path} is not a capture, or is damaged: {error}") from error


def mean_of_heads(weights: Tensor) -> Tensor:
    """(h, q, k) or (q, k) -> (q, k)."""
    return weights.mean(0) if weights.ndim == 3 else weights
