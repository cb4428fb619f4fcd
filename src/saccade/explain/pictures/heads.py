"""All heads of all layers, for exploration. Vig 2019, arXiv:1906.05714."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.explain import plots, terminal
from saccade.explain.names import ACROSS, grouped, readable
from saccade.explain.plots.arrays import numbers, rounded
from saccade.explain.text import alignment_text, cells, fit

SPECIAL = re.compile(r"<[^<>\s]+>|\[[A-Z]+\d*\]")  # such as </s>, <|endoftext|> and [SEP]
Layers = Mapping[str, tuple[plots.Weights, Sequence[str], Sequence[str]]]


class Axes(NamedTuple):
    """The labels of a layer's rows, columns and values, if it is not attention."""

    rows: str
    columns: str
    values: str


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads of several layers. In a browser one head, one token or one step can be selected.

    Raises:
        InvalidInput: no layers; weights that do not match their tokens, are below 0 or not finite.
    """

    name: str
    layers: Layers
    """The name of a layer -> weights (h, q, k) or (q, k), tokens of the queries, tokens of the keys."""
    title: str = ""
    axes: Mapping[str, Axes] = field(default_factory=dict)
    """The labels of layers that are not attention."""

    def __post_init__(self) -> None:
        if not self.layers:
            raise InvalidInput("expected at least one layer to show")
        for name, (weights, queries, keys) in self.layers.items():
            shape = tuple(weights.shape) if hasattr(weights, "shape") else np.shape(weights)
            if len(shape) not in (2, 3) or 0 in shape[:-2] or shape[-2:] != (len(queries), len(keys)):
                got = f"{shape} for {len(queries)} and {len(keys)} tokens"
                raise InvalidInput(f"{name}: expected weights (h, q, k) or (q, k) of these tokens, not {got}")
            found = _array(weights)
            if not (np.isfinite(found) & (found >= 0)).all():
                raise InvalidInput(f"{name}: expected attention weights that are finite and not below 0")

    def figure(self) -> plots.Figure:
        """A thumbnail of every head; a single head is drawn as a map, with its tokens or its times."""
        found = self._heads()
        if sum(map(len, found.values())) > 1:
            return plots.head_grid(list(found.values()), list(self._named()), self.title)
        [(name, (_, queries, keys))] = self.layers.items()
        axes, [weights] = self.axes.get(name, Axes("queries", "keys", "attention weight")), found[name]
        if len(keys) > 1 and all(re.fullmatch(r"\d+(\.\d+)? s", key) for key in keys):
            step = (float(keys[-1][:-2]) - float(keys[0][:-2])) / (len(keys) - 1)
            return plots.speech(weights, queries, step, tokens_label=axes.rows, values=axes.values, title=self.title)
        return plots.alignments([(weights, queries, keys, axes.rows, axes.columns, self.title)], axes.values)

    def text(self, width: int) -> str:
        """The entropy of each head, in nats, averaged over its queries. A single head is printed as an alignment."""
        width, rows = terminal.narrowest(width), {}
        if sum(map(len, self._heads().values())) == 1:
            [(weights, queries, keys)] = self.layers.values()
            table = alignment_text(numbers(weights).reshape(len(queries), len(keys)), queries, keys, width)
            return terminal.titled(self.title, table.split("\n"), width)
        for name, heads in self._named().items():
            shares = heads / np.maximum(heads.sum(-1, keepdims=True), 1e-12)
            logs = np.log(np.where(shares > 0, shares, 1.0))
            rows[name] = 0.0 - (shares * logs).sum(-1).mean(-1)
        left = min(max(map(cells, [*rows, "head"])), width // 2)
        room = max(1, (width - left - 1) // 6)
        lines = ["entropy (nats)"]
        for first in range(0, max(map(len, rows.values())), room):
            some = {name: line[first : first + room] for name, line in rows.items() if len(line) > first}
            most = max(map(len, some.values()))
            lines += [fit("head", left) + "".join(f"{first + number:6}" for number in range(most))]
            lines += [fit(name, left) + "".join(f"{nats:6.2f}" for nats in line) for name, line in some.items()]
        return terminal.titled(self.title, lines, width)

    def page(self) -> dict[str, Any]:
        return {
            "layers": [
                {
                    "name": name,
                    "label": label,
                    **_packed(*layer),
                    **(self.axes[name]._asdict() if name in self.axes else {}),
                }
                for label, (name, layer) in zip(readable(list(self.layers)), self.layers.items(), strict=True)
            ],
            "first": self.first(),
        }

    def first(self) -> list[int]:
        """The layer and the head that a page opens with.

        Layers in which one sequence attends to another come before those in which it attends to itself. Among their
        heads it is the one whose weights say most about a query: the mutual information of query and key, times the
        share of weight that it is about. Special tokens, and a token's weight for itself, do not count.
        """
        layers, names = list(self.layers.values()), readable(list(self.layers))
        across = [
            number
            for number, (_, queries, keys) in enumerate(layers)
            if list(queries) != list(keys) or names[number].endswith(ACROSS)
        ]
        best, found = -1.0, [0, 0]
        for number in across or range(len(layers)):
            scores = _informative(*layers[number], diagonal=number in across)
            if scores.max() > best:
                best, found = float(scores.max()), [number, int(scores.argmax())]
        return found

    def plain(self) -> dict[str, Any]:
        layers = {
            name: [rounded(numbers(weights)), list(queries), list(keys)]
            for name, (weights, queries, keys) in self.layers.items()
        }
        axes = {name: list(axes) for name, axes in self.axes.items()}
        return {"name": self.name, "title": self.title, "layers": layers, "axes": axes}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Heads":
        layers = {name: (np.asarray(weights), q, k) for name, (weights, q, k) in plain["layers"].items()}
        axes = {name: Axes(*axes) for name, axes in plain["axes"].items()}
        return cls(**{**plain, "layers": layers, "axes": axes})

    def description(self) -> str:
        found = ", ".join(f"{len(heads)} of {name}" for name, heads in self._named().items())
        links = ", ".join(
            f"{query} to {key} ({weight:.2f}, {where})" for weight, query, key, where in self._strongest()
        )
        return f"{self.title or 'Weights of each head'}, heads by layer: {found}; strongest: {links}"

    def _strongest(self, count: int = 3) -> list[tuple[float, str, str, str]]:
        """The strongest links: weight, query, key, and layer and head."""
        found = []
        said = dict(zip(self.layers, readable(list(self.layers)), strict=True))
        for name, heads in self._heads().items():
            heads = np.round(heads, 3)  # as in evidence, so that a stored picture has the same description
            for place in np.argsort(-heads, axis=None, kind="stable")[:count]:
                head, q, k = np.unravel_index(place, heads.shape)
                found.append((float(heads[head, q, k]), int(q), int(k), name, int(head)))
        best = sorted(found, key=lambda link: -link[0])[:count]
        return [
            (
                weight,
                plots.labels(self.layers[name][1])[q],
                plots.labels(self.layers[name][2])[k],
                f"{said[name]}, head {head}",
            )
            for weight, q, k, name, head in best
        ]

    def _named(self) -> dict[str, Any]:
        """The weights (h, q, k) of each layer, by the name that a person reads."""
        found = self._heads()
        return dict(zip(readable(list(found)), found.values(), strict=True))

    def _heads(self) -> dict[str, Any]:
        """The weights (h, q, k) of each layer."""
        tables = {name: numbers(weights) for name, (weights, *_) in self.layers.items()}
        return {name: table.reshape(-1, *table.shape[-2:]) for name, table in tables.items()}


def _array(weights: Any) -> Any:
    """The weights in float32, since many layers take much memory."""
    return weights.detach().float().cpu().numpy() if hasattr(weights, "detach") else np.asarray(weights, np.float32)


def _informative(weights: Any, queries: Sequence[str], keys: Sequence[str], diagonal: bool) -> Any:
    """For each head the mutual information of query and key, in nats, times the share of weight that it is about."""
    heads = _array(weights).reshape(-1, len(queries), len(keys))
    rows = [number for number, token in enumerate(queries) if not SPECIAL.fullmatch(token)] or range(len(queries))
    columns = [number for number, token in enumerate(keys) if not SPECIAL.fullmatch(token)] or range(len(keys))
    kept = heads[:, list(rows)][:, :, list(columns)]
    if not diagonal and len(columns) > 1:
        kept = kept * ~np.eye(len(columns), dtype=bool)
    total = np.maximum(kept.sum((1, 2), keepdims=True), 1e-12)
    shares = kept / total
    alone = shares.sum(2, keepdims=True) * shares.sum(1, keepdims=True)
    logs = np.log(np.where(shares > 0, shares, 1.0) / np.where(shares > 0, alone, 1.0))
    return (shares * logs).sum((1, 2)) * total[:, 0, 0] / np.maximum(heads.sum((1, 2)), 1e-12)


def _packed(weights: Any, queries: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
    """Weights in steps of 1/65535 of the largest, and the tokens of queries and keys, with their words."""
    heads = _array(weights).reshape(-1, len(queries), len(keys))
    largest = max(1.0, float(heads.max())) if heads.size else 1.0
    steps = np.round(heads / largest * 65535).astype("<u2")
    found: dict[str, Any] = {
        "heads": len(heads), "largest": largest, "weights": base64.b64encode(steps.tobytes()).decode("ascii"),
    }  # fmt: skip
    for side, tokens in (("queries", queries), ("keys", keys)):
        found[side] = plots.labels(tokens)
        found[f"{side}_special"] = [number for number, token in enumerate(tokens) if SPECIAL.fullmatch(token)]
        found[f"{side}_words"] = grouped(tokens)
    return found
