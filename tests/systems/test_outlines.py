"""Plans of the systems whose pieces are learned: their published sizes, not those that the embedded text has."""

import json
from typing import Any

import pytest

from saccade.runs import catalogue
from saccade.tasks.text import BytePieces, TextConfig, TextTask
from saccade.tasks.text.outline import MOST_PIECES
from tests.conftest import Command


@pytest.mark.parametrize(
    ("system", "variant", "parameters", "most"),
    [
        ("bert", "base", 110_106_428, "15,033 pieces can be learned from the embedded text, not 30,522"),
        ("roberta", "large", 355_412_057, "19,938 pieces can be learned from the embedded text, not 50,261"),
        ("xlnet", "large", 360_300_800, "19,938 pieces can be learned from the embedded text, not 32,000"),
    ],
)
def test_a_plan_has_the_published_size(saccade: Command, system: str, variant: str, parameters: int, most: str) -> None:
    found = json.loads(saccade("plan", system, variant, "--json").out)
    assert found["parameters"] == parameters
    assert most in found["missing"]["why"]
    assert found["missing"]["flags"][0] == "--task.file TEXT"
    assert most in " ".join(saccade("plan", system, variant).out.split())


@pytest.mark.parametrize("system", ["bert", "roberta", "xlnet", "gpt2"])
def test_an_outline_has_the_symbols_of_its_task(system: str) -> None:
    recipe: Any = catalogue.recipe(system)
    config = recipe.variants["tiny"]
    found = recipe.outline(config)
    assert len(found.task.symbols.names) == len(recipe.task(config, None).symbols.names)
    assert found.missing(config.training.batch_size) is None


def test_so_many_pieces_can_be_learned_from_the_embedded_text() -> None:
    assert len(TextTask(TextConfig(symbols=BytePieces(size=50_257))).symbols.names) == MOST_PIECES["byte-pieces"]
