"""Reading a user's image of a digit: any common file to brightness, then to what MNIST's images look like."""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.tasks.digits.mnist import SIDE
from saccade.tasks.image_file import DAMAGED, contents, grey_of, opened

INK_SIDE, MIDDLE = 20, 14  # MNIST: a digit fits 20 x 20 pixels, and its centre of mass is at pixel 14
FLATTEST = 0.1  # brightness by which ink differs from the background, at least
FLOOR, EDGE = 0.1, 0.25  # shares of the strongest ink: below is background; from here on is the digit

Fit = Literal["digit", "place", "whole"]
"""How an image becomes one of the task: the digit alone, centred; the digit, scaled, where it lies; or the whole."""


class Seen(NamedTuple):
    """An image as the task sees it, and what was done to it."""

    image: Float[Tensor, "y x"]
    notes: tuple[str, ...]


def read_image(raw: str | bytes, size: int, fit: Fit) -> Seen:
    """An image of `size` x `size` pixels from a file's path or bytes.

    An image that has this size and a black border is taken as it is. Otherwise the background is the brightness of the
    border (its median), ink is what differs from it, in the direction of the largest difference, and the strongest ink
    becomes white.

    Raises:
        NotFound: no such file.
        InvalidInput: not an image, damaged, too large, or without anything to see.
    """
    name = "the image" if isinstance(raw, bytes) else raw.strip()
    grey, notes = brightness(contents(raw), name)
    border = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    background = border.median()
    if grey.shape == (size, size) and background == 0 and grey.max() >= FLATTEST:
        return Seen(grey, notes)
    ink = grey - background
    if ink.max() < -ink.min():
        ink, notes = -ink, (*notes, "dark ink on a light background: read as white on black")
    if ink.max() < FLATTEST:
        raise InvalidInput(f"{name} shows nothing: all of it is nearly as bright as its border")
    ink = ((ink / ink.max() - FLOOR) / (1 - FLOOR)).clamp(0, 1)
    return Seen({"digit": centred, "place": in_place, "whole": whole}[fit](ink, size), notes)


def brightness(data: bytes, name: str) -> tuple[Float[Tensor, "y x"], tuple[str, ...]]:
    """Brightness from 0 to 1 of the first picture of a file, upright, and notes.

    Raises:
        InvalidInput: not an image, damaged, or too large.
    """
    image, notes = opened(data, name)
    try:
        found = grey_of(image)
    except DAMAGED as error:
        raise InvalidInput(f"{name} is damaged: {error}") from None
    return torch.from_numpy(np.ascontiguousarray(found)).float(), notes


def centred(ink: Float[Tensor, "y x"], size: int) -> Float[Tensor, "size size"]:
    """The digit as MNIST has it (LeCun et al. 1998): at most 20 x 20 pixels, its centre of mass in the middle."""
    digit = scaled(box(ink)[0])
    (high, wide), total = digit.shape, digit.sum()
    y = float((digit.sum(1) * torch.arange(high)).sum() / total)
    x = float((digit.sum(0) * torch.arange(wide)).sum() / total)
    middle = MIDDLE + (size - SIDE) / 2
    return put(digit, size, round(middle - y), round(middle - x))


def in_place(ink: Float[Tensor, "y x"], size: int) -> Float[Tensor, "size size"]:
    """The digit, at most 20 x 20 pixels, at the same place of the canvas as in the image."""
    found, top, left = box(ink)
    digit, (high, wide) = scaled(found), ink.shape
    factor = size / max(high, wide)
    y = (top + found.shape[0] / 2 - high / 2) * factor + size / 2
    x = (left + found.shape[1] / 2 - wide / 2) * factor + size / 2
    return put(digit, size, round(y - digit.shape[0] / 2), round(x - digit.shape[1] / 2))


def whole(ink: Float[Tensor, "y x"], size: int) -> Float[Tensor, "size size"]:
    """The whole image, as large as fits the canvas."""
    found = scaled(ink, size)
    return put(found, size, (size - found.shape[0]) // 2, (size - found.shape[1]) // 2)


def box(ink: Float[Tensor, "y x"]) -> tuple[Float[Tensor, "h w"], int, int]:
    """The smallest rectangle around the ink, and its first row and column."""
    dark = ink >= EDGE
    rows, columns = (dark.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], rows[0], columns[0]


def scaled(ink: Float[Tensor, "h w"], side: int = INK_SIDE) -> Float[Tensor, "i j"]:
    """The image with its longer side `side` pixels long, averaged where it shrinks; the strongest ink stays white,
    though thin strokes become paler."""
    factor = side / max(ink.shape)
    high, wide = (min(side, max(1, math.floor(length * factor + 0.5))) for length in ink.shape)
    found = F.interpolate(ink[None, None], (high, wide), mode="bilinear", antialias=True)[0, 0].clamp(min=0)
    return found / found.max().clamp(min=1e-6)


def put(digit: Float[Tensor, "h w"], size: int, top: int, left: int) -> Float[Tensor, "size size"]:
    """The digit on a black canvas, wholly inside."""
    (high, wide), canvas = digit.shape, torch.zeros(size, size)
    top, left = min(max(0, top), size - high), min(max(0, left), size - wide)
    canvas[top : top + high, left : left + wide] = digit
    return canvas
