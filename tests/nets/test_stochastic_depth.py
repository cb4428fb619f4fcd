import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.nets.stochastic_depth import StochasticDepth, rising


def test_in_training_whole_images_are_dropped_and_the_mean_stays() -> None:
    torch.manual_seed(1)
    kept = StochasticDepth(0.25)(torch.ones(40_000, 2, 3))
    assert torch.equal(kept, kept[:, :1, :1].expand_as(kept))
    torch.testing.assert_close(kept.unique(), torch.tensor([0.0, 4 / 3]))
    assert abs(float(kept.mean()) - 1) < 0.01


def test_nothing_is_dropped_in_evaluation_or_with_the_rate_0() -> None:
    branch = torch.randn(5, 7)
    assert StochasticDepth(0.9).eval()(branch) is branch
    assert StochasticDepth(0.0)(branch) is branch


def test_its_gradient_is_that_of_the_kept_images() -> None:
    torch.manual_seed(1)
    branch = torch.randn(9, 3, requires_grad=True)
    kept = StochasticDepth(0.5)(branch)
    (slope,) = torch.autograd.grad(kept.sum(), branch)
    torch.testing.assert_close(slope * branch, kept)
    assert 0 < int((slope == 0).all(1).sum()) < 9


def test_rates_rise_in_equal_steps() -> None:
    assert rising(0.3, 4) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert rising(0.3, 1) == [0]


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2.0])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(InvalidInput, match=f"from 0 to below 1, not {rate}"):
        StochasticDepth(rate)
