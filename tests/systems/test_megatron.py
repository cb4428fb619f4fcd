"""Megatron-LM: its published sizes; the net has its own tests in tests/nets."""

from typing import Any

import pytest

from saccade.nets.language_model import LanguageModel
from saccade.runs import catalogue
from saccade.runs.devices import DEVICES
from saccade.runs.memory import sized
from saccade.runs.plan import Wish, plan

RECIPE: Any = catalogue.recipe("megatron")


@pytest.mark.parametrize(
    ("variant", "heads", "parameters"),
    [
        ("1.2b", 16, 1_213_479_936),
        ("2.5b", 20, 2_490_408_960),
        ("4.2b", 24, 4_199_109_120),
        ("8.3b", 32, 8_317_040_640),
    ],
)
def test_the_published_sizes_have_their_parameters(variant: str, heads: int, parameters: int) -> None:
    config = RECIPE.variants[variant]
    assert (config.model.heads, config.model.positions, config.task.symbols.size) == (heads, 1024, 51_200)
    model = sized(lambda: LanguageModel(config.model, config.task.symbols.size))
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    training = config.training
    assert training.batch_size * training.accumulate == 512 * 1024


@pytest.mark.parametrize(
    ("variant", "devices", "tensor", "days", "deck"), [("8.3b", 512, 8, 8.4, 9), ("4.2b", 256, 4, 8.6, 10)]
)
def test_the_plan_takes_as_long_as_the_paper_says(
    variant: str, devices: int, tensor: int, days: float, deck: float
) -> None:
    """300,000 updates, with recomputation as in the paper, at 76 % of 39 TFLOP/s a device."""
    wish = Wish(DEVICES["v100"], devices, tensor=tensor, recompute="blocks", rate=0.76 * 39e12)
    found = plan(RECIPE, RECIPE.variants[variant], wish)
    assert found.fits
    assert found.layout is not None
    assert (found.layout.tensor, found.layout.recompute) == (tensor, "blocks")
    assert found.days == pytest.approx(days, rel=0.02)
    assert found.days == pytest.approx(deck, rel=0.15)
