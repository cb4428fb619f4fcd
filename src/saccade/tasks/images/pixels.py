"""From a file to the bytes of an image: the same way for training images and a user's."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.tasks.image_file import DAMAGED, WIDEST, bytes_of, opened


class Pixels(NamedTuple):
    """An image as bytes, and what was done to it."""

    image: UInt8[Tensor, "c y x"]
    notes: tuple[str, ...] = ()


def decoded(data: bytes, name: str, channels: int) -> Pixels:
    """The first picture of a file, upright, in one channel (grey) or three (colour).

    What is transparent becomes white. A grey image in three channels is the same in each.

    Raises:
        InvalidInput: not an image, damaged, or too large.
    """
    image, notes = opened(data, name)
    try:
        found = torch.from_numpy(np.array(bytes_of(image, channels)))
    except DAMAGED as error:
        raise InvalidInput(f"{name} is damaged: {error}") from None
    if channels == 3 and image.mode in ("L", "1", "I", "F", "I;16", "I;16B", "I;16L"):
        notes = (*notes, "a grey image: the same in all three channels")
    return Pixels(found.permute(2, 0, 1).contiguous(), notes)


def fitted(image: UInt8[Tensor, "c y x"], size: int) -> UInt8[Tensor, "c size size"]:
    """The middle square of an image whose shorter side is scaled to the size; unchanged if it has this size. What lies
    far outside of the square is never scaled, so that a line of 1 x 4,000 pixels needs little memory."""
    height, width = image.shape[1:]
    if (height, width) == (size, size):
        return image
    high, wide = min(height, WIDEST * width), min(width, WIDEST * height)
    top, left = (height - high) // 2, (width - wide) // 2
    image = image[:, top : top + high, left : left + wide]
    height, width = image.shape[1:]
    scale = size / min(height, width)
    high, wide = max(size, round(height * scale)), max(size, round(width * scale))
    large = F.interpolate(image[None].float(), (high, wide), mode="bilinear", antialias=True, align_corners=False)[0]
    top, left = (high - size) // 2, (wide - size) // 2
    return large[:, top : top + size, left : left + size].round().clamp(0, 255).byte()


def recoloured(images: UInt8[Tensor, "n c y x"], channels: int) -> UInt8[Tensor, "n d y x"]:
    """The images in one channel, by pillow's weights of the colours, or in three."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    # pillow's weights, of 65536, with rounding; the same bytes as those of a file that is read as grey
    red, green, blue = (images[:, channel].int() for channel in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).byte()[:, None]
