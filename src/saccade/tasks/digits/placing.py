"""Digits and pieces of digits on a larger black canvas."""

import torch
from jaxtyping import Int, Int16, UInt8
from torch import Tensor

from saccade.tasks.digits.mnist import SIDE


def blank(count: int, size: int) -> Int16[Tensor, "b size size"]:
    """Black canvases. Pixels are whole numbers, so that the order of sums does not matter; 255 is white."""
    return torch.zeros(count, size, size, dtype=torch.int16)


def offsets(side: int, width: int) -> Int[Tensor, " p"]:
    """The places of a square's pixels in an image of this width, from its upper left corner, in the order of rows."""
    steps = torch.arange(side)
    return (steps[:, None] * width + steps).flatten()


def place(
    canvas: Int16[Tensor, "b size size"],
    pixels: UInt8[Tensor, "b n p"],
    top: Int[Tensor, "b n"],
    left: Int[Tensor, "b n"],
) -> None:
    """Add n squares of p pixels each to every canvas.

    Args:
        canvas: changed in place; values may exceed 255.
        pixels: the squares, row by row.
        top: the first row of each square.
        left: the first column of each square.
    """
    size, side = canvas.shape[-1], round(pixels.shape[-1] ** 0.5)
    places = (top * size + left)[..., None] + offsets(side, size)
    canvas.view(len(canvas), -1).scatter_add_(1, places.flatten(1), pixels.flatten(1).short())


def cut(
    images: UInt8[Tensor, "n 28 28"], rows: Int[Tensor, "b m"], top: Int[Tensor, "b m"], left: Int[Tensor, "b m"],
    side: int,
) -> UInt8[Tensor, "b m p"]:  # fmt: skip
    """Square pieces of images.

    Args:
        images: the digits.
        rows: which image each piece is cut from.
        top: its first row in the image.
        left: its first column in the image.
        side: its rows and columns.
    """
    places = ((rows * SIDE + top) * SIDE + left)[..., None] + offsets(side, SIDE)
    return images.view(-1)[places]


def bright(canvas: Int16[Tensor, "b size size"]) -> Tensor:
    """The canvas in float32, from 0 (black) to 1 (white); sums above white are white."""
    return canvas.clamp_(max=255).float().div_(255)
