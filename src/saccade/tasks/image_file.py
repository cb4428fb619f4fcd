"""Image files that users give: any common format, upright, within bounds, or one clear sentence."""

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from saccade.core.errors import InvalidInput, NotFound, require
from saccade.core.files import against, naming

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # others may start programs, such as EPS
HEIF = (b"heic", b"heix", b"heif", b"mif1")  # brands of files of telephones, which pillow does not read
BYTES, PIXELS = (
    20_000_000,
    40_000_000,
)  # the most of a file, and of an image, since a small file may unpack to gigabytes
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, AttributeError,
           struct.error, zlib.error)  # what pillow raises on damaged files  # fmt: skip
WIDEST = 4  # a longer side is cut to this many times the shorter one before it is scaled, for memory


class Opened(NamedTuple):
    """The first picture of a file, upright, as an image of pillow's, and notes for the user."""

    image: Any
    notes: tuple[str, ...]


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


def opened(data: bytes, name: str) -> Opened:
    """The first picture of a file, upright.

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
            if data[4:8] == b"ftyp" and data[8:12] in HEIF:
                raise InvalidInput(f"{name} is a HEIF image, which cannot be read; save it as JPEG") from None
            known = ", ".join(FORMATS)
            raise InvalidInput(f"{name} is not an image, or is damaged; expected one of {known}") from None
        wide, high = image.size
        if wide * high > PIXELS:
            raise InvalidInput(f"{name} has {wide:,} x {high:,} pixels; expected at most {PIXELS:,} in all")
        try:
            frames = getattr(image, "n_frames", 1)
            image.seek(0)
            image.load()
            upright = require("PIL.ImageOps", "vision").exif_transpose(image)
        except DAMAGED as error:
            raise InvalidInput(f"{name} is damaged: {error}") from None
    return Opened(upright, (f"the first of {frames} pictures",) if frames > 1 else ())


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


def bytes_of(image: Any, channels: int) -> Any:
    """An image of pillow's as an array of bytes (y, x, c)."""
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        found = np.rint(grey_of(image) * 255).astype(np.uint8)[..., None]
        return found.repeat(channels, -1)
    mode = "L" if channels == 1 else "RGB"
    if image.mode == "L" and channels == 1:
        return np.asarray(image)[..., None]
    if image.mode in ("RGBA", "LA", "PA", "P") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = image.copy()
        white.paste((255, 255, 255, 255), (0, 0, *image.size))
        white.alpha_composite(image)
        image = white
    found = np.asarray(image.convert(mode))
    return found[..., None] if channels == 1 else found


def coloured(image: Any) -> Any:
    """An image of pillow's in red, green and blue, as `bytes_of` sees it."""
    return require("PIL.Image", "vision").fromarray(bytes_of(image, 3))


def png(image: Float[Tensor, "y x"] | UInt8[Tensor, "c y x"]) -> bytes:
    """The bytes of a PNG: of a grey image from 0 to 1, or of bytes in one or three channels."""
    pillow: Any = require("PIL.Image", "vision")
    pixels = image if image.ndim == 3 else (image * 255).round().byte()[None]
    with io.BytesIO() as file:
        pillow.fromarray(pixels.permute(1, 2, 0).numpy() if len(pixels) == 3 else pixels[0].numpy()).save(file, "PNG")
        return file.getvalue()
