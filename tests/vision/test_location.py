"""Locations drawn from a Gaussian."""

import math
from typing import Any

import pytest
import torch
from torch.distributions import Normal

from saccade.attention.score_function import ScoreFunction
from saccade.core.errors import InvalidInput
from saccade.vision.location import GaussianLocation
from tests.checks import randomised


def test_the_log_probability_is_the_gaussians_and_has_its_gradient() -> None:
    head, hidden = randomised(GaussianLocation(5, deviation=0.3)), torch.randn(7, 5).double()
    chosen = head(hidden)
    assert not chosen.location.requires_grad
    mean = torch.tanh(4 / 5**0.5 * (hidden @ head.mean.weight.T + head.mean.bias))
    expected = Normal(mean, 0.3).log_prob(chosen.location).sum(1)
    torch.testing.assert_close(chosen.log_prob, expected)
    # by hand: (l - mu) / sigma^2, which would be zero if the sample had a gradient
    slopes = torch.autograd.grad(chosen.log_prob.sum(), head.mean.weight)[0]
    by_hand = ((chosen.location - mean.detach()) / 0.3**2 * (1 - mean.detach() ** 2)).T @ hidden * 4 / 5**0.5
    torch.testing.assert_close(slopes, by_hand)


def test_it_samples_in_training_and_takes_the_mean_in_evaluation() -> None:
    head, hidden = randomised(GaussianLocation(3, deviation=0.2)), torch.randn(1, 3).double().expand(20_000, 3)
    one, two = (head(hidden, torch.Generator().manual_seed(4)).location for _ in range(2))
    assert torch.equal(one, two)
    torch.testing.assert_close(one.mean(0), head.means(hidden)[0], rtol=0, atol=0.01)
    torch.testing.assert_close(one.std(0), torch.full((2,), 0.2).double(), rtol=0, atol=0.01)
    assert torch.equal(head.eval()(hidden).location, head.means(hidden))


def test_the_estimate_is_the_gradient_of_the_expected_reward() -> None:
    """The reward is 1 right of a border: E[R] = Phi((mu - border) / sigma), which has a gradient by hand."""
    head, deviation, border = GaussianLocation(1, deviation=0.5).double(), 0.5, 0.2
    torch.nn.init.zeros_(head.mean.weight)
    score = ScoreFunction("moving").double()
    torch.manual_seed(0)
    slopes = []
    for _ in range(2):  # without a baseline yet, and with one
        chosen = head(torch.zeros(200_000, 1).double())
        surrogate = score((chosen.location[:, 0] > border).double(), chosen.log_prob)
        slopes.append(torch.autograd.grad(surrogate.mean(), head.mean.bias)[0])
    density = math.exp(-((border / deviation) ** 2) / 2) / math.sqrt(2 * math.pi) / deviation
    for slope in slopes:
        torch.testing.assert_close(-slope, torch.tensor([4 * density, 0.0]).double(), rtol=0, atol=0.04)


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
        ({"hidden_size": 3, "deviation": 0.0}, "a deviation must be above 0 and finite, not 0.0"),
        ({"hidden_size": 3, "deviation": math.inf}, "not inf"),
    ],
)
def test_it_refuses(options: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        GaussianLocation(**options)
