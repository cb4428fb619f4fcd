"""Cells that follow something in the text, found by correlation (Karpathy et al. 2015, section 4.2)."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saccade.core.device import evaluating
from saccade.explain.capture import capture

TEXTS, LONGEST = 16, 512
"""The texts read to find a cell, and the symbols of each."""


class Follower(NamedTuple):
    """The cell that follows something most closely."""

    what: str
    layer: int
    """Counted from 0."""
    cell: int
    correlation: float


def traced(model: Any, symbols: Int[Tensor, "b t"]) -> Float[Tensor, "b t l h"]:
    """The cells of each layer after each symbol, from -1 to 1."""
    state = model.initial_state(len(symbols))
    with torch.no_grad(), evaluating(model), capture(model, "cells") as heard:
        for column in symbols.unbind(1):
            _, state = model.step(column, state)
    return torch.stack(heard["cells"], 1)


def features(text: str) -> dict[str, list[float]]:
    """What a cell may follow, at each character: whether it is a capital, and its place in the line."""
    places, place = [], 0
    for character in text:
        place = 0 if character == "\n" else place + 1
        places.append(float(place))
    return {"capitals": [float(character.isupper()) for character in text], "the place in the line": places}


def followers(cells: Float[Tensor, "b t l h"], texts: list[str]) -> list[Follower]:
    """For each feature the cell whose correlation with it is the largest, by its size."""
    flat = cells.flatten(0, 1).flatten(1).double()
    flat = flat - flat.mean(0)
    found = []
    for what in features(""):
        values = torch.tensor([value for text in texts for value in features(text)[what]], dtype=torch.float64)
        values = (values - values.mean()).to(flat.device)
        correlation = (values @ flat) / (flat.norm(dim=0) * values.norm()).clamp(min=1e-12)
        best = int(correlation.abs().argmax())
        layer, cell = divmod(best, cells.shape[-1])
        found.append(Follower(what, layer, cell, float(correlation[best])))
    return found
