"""Optimizers and schedules are those of the papers."""

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from saccade.core.config import from_plain, to_plain
from saccade.training.config import SGD, Adadelta, Adam, RMSprop, RunConfig, TrainingConfig
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
    config = TrainingConfig(learning_rate=0.1, optimizer=Adam(beta1=0.8, beta2=0.9, epsilon=1e-3))
    mean = square = weight = 0.0
    expected = []
    for t, slope in enumerate(SLOPES, start=1):
        mean = 0.8 * mean + 0.2 * slope
        square = 0.9 * square + 0.1 * slope**2
        weight -= 0.1 * (mean / (1 - 0.8**t)) / (math.sqrt(square / (1 - 0.9**t)) + 1e-3)
        expected.append(weight)
    assert descend(config, SLOPES) == pytest.approx(expected, rel=1e-10)


def test_adadelta_is_algorithm_1_of_zeiler() -> None:
    config = TrainingConfig(learning_rate=1.0, optimizer=Adadelta(rho=0.7, epsilon=1e-2))
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
    config = TrainingConfig(learning_rate=0.1, optimizer=SGD(momentum=0.5))
    velocity = weight = 0.0
    expected = []
    for slope in SLOPES:
        velocity = 0.5 * velocity + slope
        weight -= 0.1 * velocity
        expected.append(weight)
    assert descend(config, SLOPES) == pytest.approx(expected, rel=1e-10)


def test_nesterov_momentum_and_weight_decay() -> None:
    """Sutskever et al. 2013, as torch writes it: the gradient at the weight, plus momentum times the new velocity."""
    config = TrainingConfig(learning_rate=0.1, optimizer=SGD(momentum=0.5, nesterov=True, weight_decay=0.3))
    velocity = weight = 0.0
    expected = []
    for slope in SLOPES:
        slope += 0.3 * weight
        velocity = 0.5 * velocity + slope
        weight -= 0.1 * (slope + 0.5 * velocity)
        expected.append(weight)
    assert descend(config, SLOPES) == pytest.approx(expected, rel=1e-10)
    with pytest.raises(ValidationError, match="nesterov needs a momentum above 0"):
        SGD(nesterov=True)


@pytest.mark.parametrize("centered", [False, True])
def test_rmsprop_divides_by_the_root_of_the_mean_square(centered: bool) -> None:
    """Tieleman & Hinton 2012; centered and with momentum: Graves 2013, equations 38 to 41, epsilon outside the root."""
    rule = RMSprop(alpha=0.7, epsilon=1e-3, momentum=0.4, centered=centered, weight_decay=0.2)
    square = mean = step = weight = 0.0
    expected = []
    for slope in SLOPES:
        slope += 0.2 * weight
        square = 0.7 * square + 0.3 * slope**2
        mean = 0.7 * mean + 0.3 * slope
        step = 0.4 * step + slope / (math.sqrt(square - centered * mean**2) + 1e-3)
        weight -= 0.1 * step
        expected.append(weight)
    assert descend(TrainingConfig(learning_rate=0.1, optimizer=rule), SLOPES) == pytest.approx(expected, rel=1e-10)


def test_decay_of_adam_is_decoupled() -> None:
    plain, decayed = (
        descend(TrainingConfig(learning_rate=0.1, optimizer=Adam(weight_decay=decay)), SLOPES[:2])
        for decay in (0.0, 0.5)
    )
    assert decayed[0] == pytest.approx(plain[0])  # the weight was 0
    assert decayed[1] - plain[1] == pytest.approx(-0.1 * 0.5 * plain[0])


def test_the_optimizer_is_one_of_a_union() -> None:
    made = from_plain(TrainingConfig, {"optimizer": {"name": "rmsprop", "alpha": 0.9}})
    assert made.optimizer == RMSprop(alpha=0.9)
    assert from_plain(TrainingConfig, to_plain(made)) == made
    for wrong in ({"name": "adam", "alpha": 0.9}, {"name": "lion"}, {"name": "sgd", "beta1": 0.9}):
        with pytest.raises(ValidationError):
            from_plain(TrainingConfig, {"optimizer": wrong})


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 10**12}, {"threads": 2000}, {"batch_size": 0}, {"learning_rate": 1e9}, {"ema": 1.0}, {"clip": 1e30},
        {"accumulate": 10**9}, {"window": 10**12}, {"patience": 10**12}, {"average": 10**6}, {"warmup": -1},
        {"seed": 2**32}, {"schedule": "step"}, {"step_every": 5}, {"step_factor": 0.5},
        {"schedule": "step", "step_every": 5, "step_factor": 2},
    ],
)  # fmt: skip
def test_numbers_have_bounds_and_options_a_choice(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainingConfig(**changes)


def test_a_run_without_training_has_the_common_fields() -> None:
    assert set(to_plain(RunConfig())) == {"batch_size", "seed", "device", "precision", "threads"}
    assert set(to_plain(RunConfig())) < set(to_plain(TrainingConfig()))


def test_cosine_and_step() -> None:
    cosine = TrainingConfig(steps=100, schedule="cosine", warmup=20)
    assert [rate_at(cosine, step) for step in (0, 9, 19, 20)] == pytest.approx([0.05, 0.5, 1.0, 1.0])
    for step in (20, 40, 60, 99):
        assert rate_at(cosine, step) == pytest.approx((1 + math.cos(math.pi * (step - 20) / 80)) / 2)
    stepped = TrainingConfig(steps=100, schedule="step", step_every=30, step_factor=0.2, warmup=10)
    found = [rate_at(stepped, step) for step in (0, 9, 29, 30, 59, 60, 99)]
    assert found == pytest.approx([0.1, 1.0, 1.0, 0.2, 0.2, 0.04, 0.008])


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


def test_frozen_weights_are_not_optimised() -> None:
    weights = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3), requires_grad=False)]
    assert len(build_optimizer(TrainingConfig(), weights).param_groups[0]["params"]) == 1
