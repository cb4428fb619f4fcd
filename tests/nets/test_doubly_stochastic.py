from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.nets.doubly_stochastic import doubly_stochastic
from tests.checks import assert_twins, leaf

LENGTHS, STEPS, REGIONS = (5, 3, 1), 5, 7
VALID = torch.arange(STEPS) < torch.tensor(LENGTHS)[:, None]
both = pytest.mark.parametrize("tau", ["one", "even"])


def slow(weights: Tensor, tau: str) -> Tensor:
    """sum_i (tau - sum_t alpha_ti)^2, a region and a word at a time."""
    found = []
    for length, alpha in zip(LENGTHS, weights, strict=True):
        wanted = 1.0 if tau == "one" else length / REGIONS
        found.append(sum((wanted - sum(alpha[t, i] for t in range(length))) ** 2 for i in range(REGIONS)))
    return torch.stack(found)


@both
def test_it_equals_its_slow_twin(tau: Any) -> None:
    weights = leaf(3, STEPS, REGIONS)
    assert_twins(lambda: doubly_stochastic(weights, VALID, tau), lambda: slow(weights, tau), [weights])


@both
def test_padding_changes_neither_value_nor_gradient(tau: Any) -> None:
    weights = leaf(3, STEPS, REGIONS)
    value = doubly_stochastic(weights, VALID, tau)
    [slope] = torch.autograd.grad(value.sum(), weights)
    assert not slope[~VALID].any()
    more = torch.cat([weights, torch.full((3, 2, REGIONS), torch.nan).double()], 1)
    longer = torch.cat([VALID, torch.zeros(3, 2, dtype=torch.bool)], 1)
    again = doubly_stochastic(more, longer, tau)
    assert torch.equal(again, value)
    assert torch.equal(torch.autograd.grad(again.sum(), weights)[0], slope)


def test_even_weights_cost_nothing_if_tau_is_the_caption_over_its_regions() -> None:
    even = torch.full((3, STEPS, REGIONS), 1 / REGIONS, dtype=torch.float64)
    assert doubly_stochastic(even, VALID, "even").max() < 1e-28
    assert doubly_stochastic(even, VALID, "one").min() > 0.1
