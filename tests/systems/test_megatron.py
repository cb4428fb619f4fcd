"""Megatron-LM: its published sizes; the net has its own tests in tests/nets."""

from typing import Any

import pytest

from saccade.nets.language_model import LanguageModel
from saccade.runs import catalogue
from saccade.runs.memory import sized

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
