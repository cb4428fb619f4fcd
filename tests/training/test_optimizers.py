"""Optimizers and schedules are those of the papers."""

import math

import pytest
import torch
from torch import nn

from saccade.training.config import SGD, Adadelta, Adam, TrainingConfig
from saccade.training.optimizers import build_optimizer, rate_at


def descend(config: TrainingConfig, slopes: list[float]) -> list[float]:
    """The weight after each of the given gradients, from 0."""
    weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
    optimizer = build_optimizer(config, [weight])
    path = []
    for slope in slopes:
        weight.grad = torch.tensor(slope, dtype=torch.float64)
        optimizer.step()
        path.append(weight.item())
    return path


SLOPES = [0.5, -2.0, 3.0, 0.1]


def test_adam_is_algorithm_1_of_kingma_and_ba() -> None:
    config = TrainingConfig(optimizer="adam", learning_rate=0.1, adam=Adam(beta1=0.8, beta2=0.9, epsilon=1e-3))
    mean = square = weight = 0.0
    expected = []
    for t, slope in enumerate(SLOPES, start=1):
        mean = 0.8 * mean + 0.2 * slope
        square = 0.9 * square + 0.1 * slope**2
        weight -= 0.1 * (mean / (1 - 0.8**t)) / (math.sqrt(square / (1 - 0.9**t)) + 1e-3)
        expected.append(weight)
    assert descend(config, SLOPES) == pytest.approx(expected, rel=1e-10)


def test_adadelta_is_algorithm_1_of_zeiler() -> None:
    config = TrainingConfig(optimizer="adadelta", learning_rate=1.0, adadelta=Adadelta(rho=0.7, epsilon=1e-2))
    slopes2 = steps2 = weight = 0.0
    expected = []
    for slope in SLOPES:
        slopes2 = 0.7 * slopes2 + 0.3 * slope**2
        step = -math.sqrt(steps2 + 1e-2) / math.sqrt(slopes2 + 1e-2) * slope
        steps2 = 0.7 * steps2 + 0.3 * step**2
        weight += step
        expected.append(weight)
    assert descend(config, SLOPES) == pytest.approx(expected, rel=1e-10)


def test_momentum_keeps_a_share_of_the_last_step() -> None:
    config = TrainingConfig(optimizer="sgd", learning_rate=0.1, sgd=SGD(momentum=0.5))
    velocity = weight = 0.0
    expected = []
    for slope in SLOPES:
        velocity = 0.5 * velocity + slope
        weight -= 0.1 * velocity
        expected.append(weight)
    assert descend(config, SLOPES) == pytest.approx(expected, rel=1e-10)


def test_schedules() -> None:
    linear = TrainingConfig(steps=100, schedule="linear", warmup=10)
    assert rate_at(linear, 0) == pytest.approx(0.1)
    assert rate_at(linear, 10) == pytest.approx(1.0)
    assert rate_at(linear, 55) == pytest.approx(0.5)
    assert 0 < rate_at(linear, 99) < 0.02
    assert rate_at(TrainingConfig(steps=100, schedule="constant"), 99) == 1.0
    # Vaswani et al. 2017, equation 3, divided by its largest value
    inverse = TrainingConfig(steps=10**6, schedule="inverse-root", warmup=400)
    for step in (0, 50, 398, 399, 400, 5000):
        s = step + 1
        assert rate_at(inverse, step) == pytest.approx(min(s**-0.5, s * 400**-1.5) / 400**-0.5)


def test_frozen_weights_are_left_out() -> None:
    weights = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3), requires_grad=False)]
    assert len(build_optimizer(TrainingConfig(), weights).param_groups[0]["params"]) == 1
