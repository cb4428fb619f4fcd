"""A user's clip of a moving digit: white on black, as the clips of the task."""

import zlib

import torch
from jaxtyping import UInt8
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.tasks.actions.motions import SIDE
from saccade.tasks.captions.clip_file import Frames, read_clip

FLATTEST = 0.1  # brightness by which ink differs from the background, at least
GREY = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


def read(raw: str | bytes, most: int) -> tuple[UInt8[Tensor, "f y x"], tuple[str, ...]]:
    """The frames of an animated GIF in grey, white on black, and notes.

    The background is the brightness of the borders (their median); a clip with dark ink on a light background is
    inverted.

    Raises:
        NotFound: no such file.
        InvalidInput: not an image, damaged, one frame, a clip in which nothing moves, or without anything to see.
    """
    name = "the clip" if isinstance(raw, bytes) else raw.strip()
    found: Frames = read_clip(raw, SIDE, most)
    if len(found.frames) < 2:
        raise InvalidInput(
            f"{name} has one frame, in which nothing moves; expected an animated GIF of at least 2 frames"
        )
    grey = torch.einsum("fcyx,c->fyx", found.frames.float(), GREY) / 255
    border = torch.cat([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], 1)
    ink, notes = grey - border.median(), found.notes
    if ink.max() < -ink.min():
        ink, notes = -ink, (*notes, "dark ink on a light background: read as white on black")
    if ink.max() < FLATTEST:
        raise InvalidInput(f"{name} shows nothing: all of it is nearly as bright as its border")
    frames = (255 * ink.clamp(0, 1)).round().byte()
    if bool((frames == frames[0]).all()):
        raise InvalidInput(f"nothing moves in {name}: all of its frames are the same")
    return frames, notes


def without_order(frames: UInt8[Tensor, "f y x"]) -> UInt8[Tensor, "f y x"]:
    """The frames in the order of a checksum of their pixels: whatever their order was, it is the same."""
    sums = [zlib.crc32(frame.numpy().tobytes()) for frame in frames.contiguous()]
    return frames[sorted(range(len(frames)), key=sums.__getitem__)]
