"""The comparison of every attention in one decoder."""

import typing
from dataclasses import replace

import pytest
import torch

from saccade.nets.attention_choice import AttentionChoice, PositionalKeys
from saccade.systems.rnnsearch.model import RNNsearch
from saccade.systems.rnnsearch.recipe import RECIPE, ROWS


def parameters(row: str) -> int:
    with torch.device("meta"):
        model = RNNsearch(RECIPE.variants[f"row-{row}"].model, 6000, 6000)
    return sum(weight.numel() for weight in model.parameters())


def test_every_mechanism_has_its_row() -> None:
    names = typing.get_args(typing.get_type_hints(AttentionChoice)["attention"])
    assert set(ROWS) == set(names) - {"mlp"}  # the lectures' name of concat


@pytest.mark.parametrize("row", ROWS)
def test_rows_differ_in_the_attention_and_have_as_many_parameters(row: str) -> None:
    assert abs(parameters(row) / parameters("additive") - 1) < 0.03
    config, first = RECIPE.variants[f"row-{row}"], RECIPE.variants["row-additive"]
    same = replace(config.model, attention="additive", hidden_size=256, positional_keys=PositionalKeys())
    assert replace(config, model=same) == first
