"""Reading a user's image of a digit: any common file to brightness, then to what MNIST's images look like."""

import io
import math
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput, NotFound, require
from saccade.core.files import against, naming
from saccade.tasks.digits.mnist import SIDE

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # others may start programs, such as EPS
BYTES, PIXELS = (
    20_000_000,
    40_000_000,
)  # the most of a file, and of an image, since a small file may unpack to gigabytes
INK_SIDE, MIDDLE = 20, 14  # MNIST: a digit fits 20 x 20 pixels, and its centre of mass is at pixel 14
FLATTEST = 0.1  # brightness by which ink differs from the background, at least
FLOOR, EDGE = 0.1, 0.25  # shares of the strongest ink: below is background; from here on is the digit
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, AttributeError,
           struct.error, zlib.error)  # what pillow raises on damaged files  # fmt: skip

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


def contents(raw: str | bytes) -> bytes:
    """The bytes of the file."""
    if isinstance(raw, bytes):
        name, size = "the image", len(raw)
    else:
        path, name = Path(raw.strip()), raw.strip()
        if not name:
            raise InvalidInput("expected the path of an image; the input is empty")
        if "\0" in name or not path.exists():
            raise NotFound(f"{name!r}: there is no such image{against(path)}")
        if not path.is_file():
            raise InvalidInput(f"{name}: expected the file of an image, not a folder or a device")
        size = path.stat().st_size
    if size > BYTES:
        raise InvalidInput(f"{name} has {size:,} bytes; expected at most {BYTES:,}: make it smaller")
    if isinstance(raw, bytes):
        return raw
    with naming(path):
        return path.read_bytes()


def brightness(data: bytes, name: str) -> tuple[Float[Tensor, "y x"], tuple[str, ...]]:
    """Brightness from 0 to 1 of the first picture of a file, upright, and notes.

    Raises:
        InvalidInput: not an image, damaged, or more than `PIXELS` pixels.
    """
    pillow: Any = require("PIL.Image", "vision")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata; sizes are checked here
        try:
            image = pillow.open(io.BytesIO(data), formats=FORMATS)
        except pillow.DecompressionBombError:
            raise InvalidInput(f"{name} has more than {PIXELS:,} pixels: make it smaller") from None
        except DAMAGED:
            known = ", ".join(FORMATS)
            raise InvalidInput(f"{name} is not an image, or is damaged; expected one of {known}") from None
        wide, high = image.size
        if wide * high > PIXELS:
            raise InvalidInput(f"{name} has {wide:,} x {high:,} pixels; expected at most {PIXELS:,} in all")
        try:
            frames = getattr(image, "n_frames", 1)
            image.seek(0)
            image.load()
            found = grey_of(require("PIL.ImageOps", "vision").exif_transpose(image))
        except DAMAGED as error:
            raise InvalidInput(f"{name} is damaged: {error}") from None
    notes = (f"the first of {frames} pictures",) if frames > 1 else ()
    return torch.from_numpy(np.ascontiguousarray(found)).float(), notes


def grey_of(image: Any) -> Any:
    """An image of pillow's as an array (y, x) from 0 to 1; black where it is transparent if what is opaque is light,
    else white."""
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        found = np.asarray(image, np.float64)
        if not np.isfinite(found).all():
            raise ValueError("a pixel is not a finite number")
        largest = 1.0 if image.mode == "F" and found.max() <= 1 else 255.0 if found.max() <= 255 else 65535.0
        return (found / max(largest, found.max())).clip(0, 1)
    # through RGBA, since a palette, grey with alpha and one transparent colour all have it
    red, green, blue, alpha = np.moveaxis(np.asarray(image.convert("RGBA"), np.float64) / 255, -1, 0)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    light = (alpha * grey).sum() >= 0.5 * alpha.sum()
    return alpha * grey + (1 - alpha) * (0.0 if light else 1.0)


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


def png(image: Float[Tensor, "y x"]) -> bytes:
    """The bytes of a grey PNG."""
    pillow: Any = require("PIL.Image", "vision")
    with io.BytesIO() as file:
        pillow.fromarray((image * 255).round().byte().numpy()).save(file, "PNG")
        return file.getvalue()
