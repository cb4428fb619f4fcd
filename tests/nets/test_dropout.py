import pytest
import torch

from saccade.nets.dropout import Dropout
from tests.checks import leaf


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_the_dropped_share_and_the_mean(p: float) -> None:
    inputs = torch.ones(997, 1009)
    outputs = Dropout(p)(inputs)
    dropped = (outputs == 0).double().mean()
    tolerance = 5 * (p * (1 - p) / inputs.numel()) ** 0.5  # five standard deviations
    assert abs(float(dropped) - p) < tolerance + 1 / 65_536
    assert float(outputs.double().mean()) == pytest.approx(1, abs=2 * tolerance / (1 - p))
    assert len(outputs.unique()) == 2


def test_elements_are_dropped_independently() -> None:
    """The four elements of one random number, and neighbours across numbers and rows."""
    stay = (Dropout(0.5)(torch.ones(400, 1000)) != 0).double()
    for shift in (1, 2, 3, 4, 1000):
        together = (stay.flatten()[shift:] * stay.flatten()[:-shift]).mean()
        assert float(together) == pytest.approx(0.25, abs=0.005)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 7), (0, 4)])
def test_any_shape_and_precision(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    outputs = Dropout(0.5)(torch.ones(shape, dtype=dtype))
    assert outputs.shape == shape
    assert outputs.dtype == dtype
    assert set(outputs.flatten().tolist()) <= {0.0, 2.0}


def test_the_gradient_has_the_same_mask_as_the_values() -> None:
    inputs = leaf(7, 11)
    outputs = Dropout(0.25)(inputs)
    (slope,) = torch.autograd.grad(outputs.sum(), inputs)
    torch.testing.assert_close(slope * inputs, outputs)
    assert 0 < int((slope == 0).sum()) < slope.numel()


def test_a_seed_determines_the_dropped_elements() -> None:
    dropout, inputs = Dropout(0.5), torch.ones(99)
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(dropout(inputs))
    assert torch.equal(*states)
    assert not torch.equal(states[0], dropout(inputs))


@pytest.mark.parametrize("p", [0.0, 1e-7, 1.0])
def test_extreme_shares_use_torchs_dropout(p: float) -> None:
    outputs = Dropout(p)(torch.ones(99))
    torch.testing.assert_close(outputs, torch.zeros(99) if p == 1 else torch.ones(99))


def test_nothing_is_dropped_in_evaluation() -> None:
    inputs = torch.ones(99)
    assert Dropout(0.5).eval()(inputs) is inputs


@pytest.mark.unhooked
def test_it_compiles_without_graph_breaks() -> None:
    compiled = torch.compile(Dropout(0.5), fullgraph=True, backend="aot_eager")
    outputs = compiled(torch.ones(997))
    assert set(outputs.tolist()) == {0.0, 2.0}
    assert 400 < int((outputs == 0).sum()) < 600
