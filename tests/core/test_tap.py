import pytest
import torch
from torch import Tensor, nn

from saccade.core.tap import Tap


class Tapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.seen = Tap("b d")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.seen(self.linear(x))
        self.seen.lazy(lambda: y + 1)
        return y


def test_a_silent_tap_returns_the_same_tensor() -> None:
    x = torch.randn(2, 3)
    assert Tap("b d")(x) is x


def test_a_tap_is_not_in_the_state_dict() -> None:
    model = Tapped()
    assert set(model.state_dict()) == {"linear.weight", "linear.bias"}
    model.seen.listener = lambda tensor: tensor
    assert set(model.state_dict()) == {"linear.weight", "linear.bias"}
    assert not [*Tap("b").parameters(), *Tap("b").buffers()]


def test_a_listener_can_replace_the_tensor() -> None:
    model, x, heard = Tapped(), torch.randn(2, 3), []

    def listen(tensor: Tensor) -> Tensor:
        heard.append(tensor)
        return tensor.zero_() if len(heard) == 1 else tensor

    expected = model(x)
    model.seen.listener = listen
    with torch.no_grad():
        assert not model(x).any()
    assert len(heard) == 2  # the tensor, and the lazy one
    model.seen.listener = None
    assert torch.equal(model(x), expected)


def test_a_lazy_tensor_is_computed_only_while_captured() -> None:
    tap, calls, heard = Tap("b"), [], []

    def compute() -> Tensor:
        calls.append(1)
        return torch.full((2,), 7.0)

    tap.lazy(compute)
    assert not calls
    tap.listener = lambda tensor: heard.append(tensor) or -tensor
    tap.lazy(compute)
    assert len(calls) == 1
    assert torch.equal(heard[0], torch.full((2,), 7.0))


def test_a_tap_knows_its_axes_and_shows_them() -> None:
    tap = Tap("b h q k")
    assert tap.axes == ("b", "h", "q", "k")
    assert repr(tap) == "Tap('b h q k')"


@pytest.mark.unhooked
def test_a_silent_tap_does_not_change_the_compiled_graph() -> None:
    tap, graphs = Tap("b d"), []

    def keep(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append([(node.op, node.target) for node in graph.graph.nodes if node.op.startswith("call")])
        return graph

    def with_tap(x: Tensor) -> Tensor:
        tap.lazy(lambda: x * 3)
        y: Tensor = tap(torch.tanh(x))
        return y + 1

    for function in (with_tap, lambda x: torch.tanh(x) + 1):
        torch.compile(function, backend=keep, fullgraph=True)(torch.randn(2, 3))
    assert len(graphs) == 2
    assert graphs[0] == graphs[1]
