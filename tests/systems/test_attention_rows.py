"""The comparison of all attention mechanisms in one decoder."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from saccade.nets.attention_choice import Additive
from saccade.systems.rnnsearch.model import RNNsearch
from saccade.systems.rnnsearch.recipe import RECIPE, ROWS
from tests.checks import attentions


def parameters(row: str) -> int:
    with torch.device("meta"):
        model = RNNsearch(RECIPE.variants[f"row-{row}"].model, 6000, 6000)
    return sum(weight.numel() for weight in model.parameters())


def test_every_mechanism_has_a_row() -> None:
    assert [attention.name for attention in ROWS] == list(attentions(256))


@pytest.mark.parametrize("attention", ROWS, ids=lambda attention: attention.name)
def test_rows_differ_only_in_the_attention_and_have_similar_numbers_of_parameters(attention: Any) -> None:
    assert abs(parameters(attention.name) / parameters("additive") - 1) < 0.03
    config, first = RECIPE.variants[f"row-{attention.name}"], RECIPE.variants["row-additive"]
    assert config.model.attention == attention
    assert replace(config, model=replace(config.model, attention=Additive(), hidden_size=256)) == first
