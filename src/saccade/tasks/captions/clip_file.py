"""A user's clip: an animated GIF, or another image of several pictures."""

import io
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from saccade.core.errors import InvalidInput, require
from saccade.tasks.image_file import DAMAGED, PIXELS, bytes_of, contents, opened
from saccade.tasks.images.pixels import fitted


class Frames(NamedTuple):
    """The frames of a clip, and notes for the user."""

    frames: UInt8[Tensor, "f 3 y x"]
    notes: tuple[str, ...]


def read_clip(raw: str | bytes, size: int, most: int) -> Frames:
    """The middle squares of the frames, scaled to `size` x `size` pixels; of more than `most` frames as many that lie
    evenly.

    Raises:
        NotFound: no such file.
        InvalidInput: not an image, or damaged.
    """
    name = "the clip" if isinstance(raw, bytes) else raw.strip()
    data = contents(raw)
    opened(data, name)  # checks sizes and the first picture
    pillow: Any = require("PIL.Image", "vision")
    notes: tuple[str, ...] = ()
    try:
        image = pillow.open(io.BytesIO(data))
        count = getattr(image, "n_frames", 1)
        rows = sorted({round(row) for row in np.linspace(0, count - 1, min(count, most))})
        found = []
        for row in rows:
            image.seek(row)
            if image.size[0] * image.size[1] > PIXELS:
                raise InvalidInput(f"{name} has a picture of more than {PIXELS:,} pixels: make it smaller")
            upright = require("PIL.ImageOps", "vision").exif_transpose(image)
            found.append(fitted(torch.from_numpy(np.array(bytes_of(upright, 3))).permute(2, 0, 1), size))
    except pillow.DecompressionBombError:
        raise InvalidInput(f"{name} has a picture of more than {PIXELS:,} pixels: make it smaller") from None
    except DAMAGED as error:
        raise InvalidInput(f"{name} is damaged: {error}") from None
    if count == 1:
        notes = ("a clip of one frame, in which nothing moves",)
    elif count > most:
        notes = (f"{most} of {count} frames",)
    return Frames(torch.stack(found).contiguous(), notes)


def gif(frames: UInt8[Tensor, "f 3 y x"], seconds: float = 0.1) -> bytes:
    """The bytes of an animated GIF."""
    pillow: Any = require("PIL.Image", "vision")
    images = [pillow.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames]
    with io.BytesIO() as file:
        options = {"save_all": True, "append_images": images[1:], "duration": round(1000 * seconds), "loop": 0}
        images[0].save(file, "GIF", **options)
        return file.getvalue()
