"""Block diagrams: the arrows of small nets are those of their code."""

import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.explain.modules import module_graph
from saccade.explain.pictures.graph import Graph


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(7, 6), nn.LayerNorm(6)
        self.feed_forward = nn.Sequential(nn.Linear(6, 11), nn.ReLU(), nn.Linear(11, 6))
        self.output = nn.Linear(6, 5)

    def forward(self, words: Tensor) -> Tensor:
        found = self.embedding(words)
        return self.output(self.norm(found + self.feed_forward(found)))


class Stepwise(nn.Module):
    """A cell that is stepped, whose parameters are used in a function."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.output = Cell(), nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        state, found = inputs.new_zeros(len(inputs), 3), []
        for t in range(inputs.shape[1]):
            state = self.cell.step(inputs[:, t], state)
            found.append(state)
        return self.output(torch.stack(found, 1))


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 7))

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        return torch.tanh(torch.cat([inputs, state], -1) @ self.weight.T)


def links(graph: Graph) -> set[tuple[str, str]]:
    names = [node.partition("  [")[0] for node in graph.nodes]
    return {(names[start], names[end]) for start, end, _ in graph.edges}


def test_the_arrows_are_those_of_the_code() -> None:
    model, words = Residual(), torch.tensor([[1, 2, 3, 4]])
    graph = module_graph(model, lambda: model(words), {"words": words}, output="scores")
    assert links(graph) == {
        ("words", "embedding"), ("embedding", "feed forward"), ("embedding", "norm"), ("feed forward", "norm"),
        ("norm", "output"), ("output", "scores"),
    }  # fmt: skip
    assert graph.nodes[0] == "words  [4]"
    assert "feed forward  [4 × 6]" in graph.nodes
    assert "scores  [4 × 5]" in graph.nodes
    height = {node.partition("  [")[0]: y for node, (_, y) in zip(graph.nodes, graph.where(), strict=True)}
    assert height["words"] > height["embedding"] > height["feed forward"] > height["norm"] > height["output"]
    assert len(set(graph.where())) == len(graph.nodes)


def test_a_cell_that_is_stepped_is_one_module_and_a_module_is_opened() -> None:
    model, inputs = Stepwise(), torch.randn(2, 5, 4)
    graph = module_graph(model, lambda: model(inputs), {"inputs": inputs})
    assert links(graph) == {("inputs", "cell"), ("cell", "output")}
    block = nn.Sequential(Residual(), nn.Identity())
    words = torch.tensor([[1, 2]])
    inner = module_graph(nn.ModuleDict({"net": block}), lambda: block(words), inside="net.0")
    assert ("norm", "output") in {(a.split()[-1], b.split()[-1]) for a, b in links(inner)}


def test_a_diagram_leaves_the_model_as_it_was() -> None:
    model, inputs = Stepwise(), torch.randn(2, 5, 4)
    before, expected = dict(vars(model.cell)), model(inputs)
    module_graph(model, lambda: model(inputs))
    assert vars(model.cell) == before
    assert not model.cell._forward_hooks
    torch.testing.assert_close(model(inputs), expected)


def test_what_there_is_not_is_refused() -> None:
    model, words = Residual(), torch.tensor([[1, 2]])
    with pytest.raises(InvalidInput, match="feed_forward"):
        module_graph(model, lambda: model(words), inside="decoder")
    with pytest.raises(InvalidInput, match="used none of its modules"):
        module_graph(model, lambda: words + 1)
    with pytest.raises(InvalidInput, match="at least one module"):
        module_graph(model, lambda: model(words), most=0)


class Buffered(nn.Module):
    """Writes each step into a part of one tensor, which the output reads as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.output = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        found = inputs.new_empty(len(inputs), inputs.shape[1], 3)
        for t in range(inputs.shape[1]):
            found[:, t] = self.step(inputs[:, t])
        return self.output(found)


def test_what_is_written_into_a_tensor_is_read_from_it() -> None:
    model, inputs = Buffered(), torch.randn(2, 5, 4)
    graph = module_graph(model, lambda: model(inputs), {"inputs": inputs}, output="scores")
    assert links(graph) == {("inputs", "step"), ("step", "output"), ("output", "scores")}
