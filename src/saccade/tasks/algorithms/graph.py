"""Traversal of a random graph, in small. Graves et al. 2016, doi:10.1038/nature20101, Methods: the edges of a graph in
random order; then a node and the labels of a path from it; then the nodes of the path are due.

Nodes and labels are one-hot, where the paper has numbers of three digits, and each node has one edge of each label.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from saccade.core.config import config
from saccade.core.errors import InvalidInput
from saccade.tasks.algorithms.algorithm import Algorithm, Batch, Shape, drawn_between

NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@config
class Graph(Algorithm):
    """Follow the labels of a path through a graph that was just described."""

    name: Literal["graph"] = "graph"
    nodes: Annotated[int, Field(ge=2, le=len(NAMES))] = 6
    """Nodes of a graph."""
    labels: Annotated[int, Field(ge=1, le=9)] = 2
    """Labels of edges; each node has one edge of each label, to another node."""
    longest: Annotated[int, Field(ge=1, le=100)] = 4
    """Most edges of a path; their number is uniform from 1."""

    size_name = "edges"

    @property
    def input_size(self) -> int:
        return 2 * self.nodes + self.labels + 2

    @property
    def output_size(self) -> int:
        return self.nodes

    @property
    def largest(self) -> int:
        return self.longest

    def shape(self, generator: torch.Generator) -> Shape:
        return (drawn_between(1, self.longest, generator),)

    def draw(self, shape: Shape, count: int, generator: torch.Generator) -> Batch:
        def draw(high: int, *sizes: int) -> Tensor:
            return torch.randint(high, (count, *sizes), generator=generator)

        away = draw(self.nodes - 1, self.nodes, self.labels) + 1  # 0 would be the node itself
        ends = (torch.arange(self.nodes)[:, None] + away) % self.nodes
        order = torch.rand(count, self.nodes * self.labels, generator=generator).argsort(1)
        return self.encode(ends, order, draw(self.nodes), draw(self.labels, shape[0]))

    def encode(
        self,
        ends: Int[Tensor, "b n l"],
        order: Int[Tensor, "b e"],
        start: Int[Tensor, " b"],
        path: Int[Tensor, "b p"],
    ) -> Batch:
        """Input channels: node, label, node that the edge leads to, mark of the question, mark of the answer."""
        nodes, labels, (count, length) = self.nodes, self.labels, path.shape
        edges = order.shape[1]
        inputs = torch.zeros(count, edges + 2 * length + 1, self.input_size)
        inputs[:, :edges, :nodes] = F.one_hot(order // labels, nodes).float()
        inputs[:, :edges, nodes : nodes + labels] = F.one_hot(order % labels, labels).float()
        inputs[:, :edges, nodes + labels : -2] = F.one_hot(ends.flatten(1).gather(1, order), nodes).float()
        question, silence = inputs[:, edges : edges + length], inputs[:, edges + length :]
        question[:, 0, :nodes] = F.one_hot(start, nodes).float()
        question[:, :, nodes : nodes + labels] = F.one_hot(path, labels).float()
        question[:, :, -2] = 1
        silence[:, 0, -1] = 1
        targets, at, rows = torch.zeros(*inputs.shape[:2], nodes), start, torch.arange(count)
        for number, label in enumerate(path.unbind(1)):
            at = ends[rows, at, label]
            targets[rows, number - length, at] = 1
        counted = torch.zeros(inputs.shape[:2], dtype=torch.bool)
        counted[:, -length:] = True
        return Batch(inputs, targets, counted)

    def read(self, text: str) -> tuple[int, Batch]:
        """Edges such as "A1B" (from A, by label 1, to B), then ?, a node and labels: "A1B A2C ... ? A 1 2"."""
        described, _, asked = text.partition("?")
        found: dict[tuple[int, int], int] = {}
        start, *path = asked.split() or [""]
        names, digits = NAMES[: self.nodes], [str(label) for label in range(1, self.labels + 1)]
        for edge in described.split():
            if len(edge) != 3 or edge[0] not in names or edge[1] not in digits or edge[2] not in names:
                raise InvalidInput(
                    f"expected an edge such as A1B, with nodes {names} and labels 1 to {self.labels}; got {edge[:80]!r}"
                )
            found[names.index(edge[0]), int(edge[1]) - 1] = names.index(edge[2])
        if len(found) != self.nodes * self.labels or len(described.split()) != len(found):
            raise InvalidInput(f"expected {self.nodes * self.labels} edges, one for each node and label")
        if len(start) != 1 or start not in names or not 0 < len(path) <= 100 or set(path) - set(digits):
            raise InvalidInput(
                f"expected after the edges ?, a node and 1 to 100 labels, such as '? A 1 1'; got {asked[:80]!r}"
            )
        ends = torch.tensor([[found[node, label] for label in range(self.labels)] for node in range(self.nodes)])
        order = torch.tensor([[node * self.labels + label for node, label in found]])
        walked = torch.tensor([[int(label) - 1 for label in path]])
        return len(path), self.encode(ends[None], order, torch.tensor([names.index(start)]), walked)

    def show(self, inputs: Float[Tensor, "t i"]) -> str:
        nodes, labels, edges = self.nodes, self.labels, self.nodes * self.labels
        start, label, end = inputs[:, :nodes].argmax(1), inputs[:, nodes : nodes + labels].argmax(1) + 1, nodes + labels
        ends = inputs[:, end : end + nodes].argmax(1)
        described = [f"{NAMES[start[t]]}{label[t]}{NAMES[ends[t]]}" for t in range(edges)]
        asked = range(edges, edges + int(inputs[:, -2].sum()))
        return f"{' '.join(described)} ? {NAMES[start[edges]]} {' '.join(str(int(label[t])) for t in asked)}"

    def answer(self, rows: tuple[str, ...]) -> str:
        """Names of nodes; ? where the bits of an output are not those of one node."""
        return " ".join(NAMES[row.index("1")] if row.count("1") == 1 else "?" for row in rows)
