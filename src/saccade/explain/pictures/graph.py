"""Nodes and edges, such as the links between the facts of a memory or the moves between states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saccade.core.errors import InvalidInput
from saccade.explain import plots, terminal
from saccade.explain.plots.arrays import checked, rounded
from saccade.explain.text import cells, fit


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes at given positions, or arranged in layers; and an arrow for each edge.

    Raises:
        InvalidInput: no nodes; not exactly one of `places` and `layers`, with an entry for each node; an edge to a node
            that does not exist; a number that is not finite.
    """

    name: str
    nodes: Sequence[str]
    """Their labels, in the form of `plots.labels`."""
    edges: Sequence[Any]
    """(from, to) or (from, to, weight); nodes are numbered from 0."""
    places: plots.Weights | None = None
    """(n, 2): x to the right and y upwards."""
    layers: Sequence[int] | None = None
    """The layer of each node, instead of `places`; in a layer nodes are in order, the first on top."""
    x_label: str = ""
    """The label of x, or of the layers."""
    y_label: str = ""
    values: str = "weight"
    title: str = ""

    def __post_init__(self) -> None:
        nodes = len(self.nodes)
        if not nodes or (self.places is None) == (self.layers is None):
            raise InvalidInput("expected at least one node, and either places or layers of the nodes")
        if self.layers is not None:
            object.__setattr__(self, "layers", [int(x) for x in checked(self.layers, str(nodes), "layers")])
        else:
            object.__setattr__(self, "places", checked(self.places, f"{nodes} 2", "places"))
        edges = []
        for edge in self.edges:
            start, end, weight = (*edge, 1.0)[:3] if len(edge) in (2, 3) else (-1, -1, 0.0)
            if not all(0 <= int(node) == node < nodes for node in (start, end)):
                raise InvalidInput(f"expected edges (from, to) or (from, to, weight) between {nodes} nodes, got {edge}")
            edges.append((int(start), int(end), float(weight)))
        if edges:
            checked([weight for *_, weight in edges], "n", "weights of edges")
        object.__setattr__(self, "edges", edges)

    def figure(self) -> plots.Figure:
        across = self.x_label or ("layer" if self.layers is not None else "")
        return plots.graph(
            self.nodes, self.edges, self.where(), across=across, up=self.y_label, values=self.values, title=self.title
        )

    def where(self) -> list[tuple[float, float]]:
        """x and y of each node."""
        if self.layers is None:
            assert self.places is not None
            return [(float(x), float(y)) for x, y in self.places]
        members: dict[int, list[int]] = {}
        for node, layer in enumerate(self.layers):
            members.setdefault(layer, []).append(node)
        return [
            (float(layer), (len(members[layer]) - 1) / 2 - members[layer].index(node))
            for node, layer in enumerate(self.layers)
        ]

    def text(self, width: int) -> str:
        """A line "a -> b" for each edge, in order of decreasing weight."""
        texts = plots.labels(self.nodes)
        weighted = len({weight for *_, weight in self.edges}) > 1
        room = (terminal.narrowest(width) - 4 - 9 * weighted) // 2
        left, right = (max((min(room, cells(texts[edge[side]])) for edge in self.edges), default=0) for side in (0, 1))
        lines = [
            f"{fit(texts[start], left)} -> {fit(texts[end], right)}{f'  {weight:.3g}' if weighted else ''}"
            for start, end, weight in sorted(self.edges, key=lambda edge: -edge[2])
        ]
        linked = {node for start, end, _ in self.edges for node in (start, end)}
        alone = [fit(text, min(cells(text), width)) for node, text in enumerate(texts) if node not in linked]
        return terminal.titled(self.title, lines + alone, width)

    def page(self) -> dict[str, Any]:
        across = self.x_label or ("layer" if self.layers is not None else "")
        return {
            "nodes": plots.labels(self.nodes), "edges": [[a, b, round(w, 4)] for a, b, w in self.edges],
            "places": rounded(self.where(), 4), "x_label": across, "y_label": self.y_label, "values": self.values,
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        where = {"layers": self.layers} if self.layers is not None else {"places": rounded(self.places)}
        return {
            "name": self.name, "title": self.title, "values": self.values, "x_label": self.x_label,
            "y_label": self.y_label, "nodes": list(self.nodes), **where,
            "edges": [[a, b, round(w, 3)] for a, b, w in self.edges],
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Graph":
        return cls(**plain)

    def description(self) -> str:
        texts = plots.labels(self.nodes)
        strongest = sorted(self.edges, key=lambda edge: -edge[2])[:5]
        said = ", ".join(f"{texts[start]} to {texts[end]}" for start, end, _ in strongest)
        return f"{self.title or 'A graph'} of {len(texts)} nodes and {len(self.edges)} edges" + (
            f": {said}" if said else ""
        )
