"""Where the places of the last convolution look."""

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.explain.pictures.image_overlay import ImageOverlay

PLACES = {"upper left": (1, 1), "upper right": (1, 3), "middle": (2, 2), "lower left": (3, 1), "lower right": (3, 3)}
"""Rows and columns of places, in quarters of a side."""


def overlay(image: Tensor, weights: Float[Tensor, "h q k"], side: int, title: str) -> ImageOverlay:
    """What all places attend to on average, what each head does if there are several, and what five places do.

    Args:
        image: (c, y, x).
        weights: of an image, between all places, row by row.
        side: rows and columns of places.
        title: of the picture.
    """
    heads = len(weights)
    maps = {"all places": weights.mean((0, 1))}
    if heads > 1:
        maps |= {f"head {head + 1}": weights[head].mean(0) for head in range(heads)}
    for name, (row, column) in PLACES.items():
        place = quarter(row, side) * side + quarter(column, side)
        maps[name] = weights[:, place].mean(0)
    stacked = torch.stack(list(maps.values())).view(-1, side, side)
    return ImageOverlay("attention", image, stacked, list(maps), "attention weight", title)


def quarter(count: int, side: int) -> int:
    """The place at this many quarters of a side."""
    return min(side - 1, round(count * side / 4 - 0.5))
