import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.nets.stochastic_depth import StochasticDepth, depths


def test_each_example_is_dropped_or_scaled_as_a_whole() -> None:
    depth, branch = StochasticDepth(0.3), torch.rand(5003, 2, 3) + 0.5
    found = depth(branch)
    kept = found.flatten(1).ne(0).any(1)
    assert float(kept.float().mean()) == pytest.approx(0.7, abs=0.03)
    for own, given, stays in zip(found[:50], branch[:50], kept[:50], strict=True):
        torch.testing.assert_close(own, given / 0.7 if stays else torch.zeros_like(given))
    assert float(found.mean()) == pytest.approx(float(branch.mean()), abs=0.05)


def test_the_gradient_passes_where_the_branch_does() -> None:
    branch = torch.rand(97, 5, dtype=torch.float64, requires_grad=True)
    found = StochasticDepth(0.5)(branch)
    (slope,) = torch.autograd.grad(found.sum(), branch)
    torch.testing.assert_close(slope * branch, found)
    assert found.dtype == torch.float64


def test_evaluation_changes_nothing_and_draws_nothing() -> None:
    branch, state = torch.rand(7, 3), torch.get_rng_state()
    assert StochasticDepth(0.9).eval()(branch) is branch
    assert StochasticDepth(0.0)(branch) is branch
    assert torch.equal(torch.get_rng_state(), state)
    assert not list(StochasticDepth(0.5).state_dict())


def test_a_seed_decides() -> None:
    depth, branch = StochasticDepth(0.5), torch.ones(99, 1)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(depth(branch))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("p", [-0.1, 1.0, 7.0])
@pytest.mark.unhooked
def test_other_probabilities_are_refused(p: float) -> None:
    with pytest.raises(InvalidInput, match=f"must be from 0 to below 1, not {p}"):
        StochasticDepth(p)


def test_the_probability_rises_with_depth() -> None:
    assert depths(0.2, 5) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert depths(0.2, 1) == [0]
