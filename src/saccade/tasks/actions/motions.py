"""Digits that move: where one is in each frame, and its picture there.

A pose is a place, a size and an angle; from frame to frame a motion adds the same to it:

    pose_0 = start,   pose_t = pose_{t-1} + step(motion_t)               (x, y, log of the size, angle)

The motions come in pairs, each the other backwards. A clip is a function of the key of its digit.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from saccade.tasks.digits.draws import Keys, uniform, whole
from saccade.tasks.digits.warps import sampled, similar

MOTIONS = (
    "moves right", "moves left", "moves down", "moves up", "grows", "shrinks", "turns clockwise",
    "turns counter-clockwise",
)  # fmt: skip
SIDE = 32  # rows and columns of a frame
LEAST = torch.tensor([10.0, 10.0, -0.65, -0.5])  # of a pose: x and y in pixels, log of the size, radians
MOST = torch.tensor([21.0, 21.0, -0.05, 0.5])
FREE = 3  # the angle has no bounds: it starts between the two
AMOUNTS = torch.tensor([[7.0, 11.0], [7.0, 11.0], [0.37, 0.6], [2.0, 2.8]])  # of a whole clip, from and to
SIGNS = torch.tensor([1.0, 1.0, 1.0, -1.0])  # of the first of each pair; angles count counter-clockwise
WHICH, PLACE, AMOUNT = range(20, 23)  # streams of random numbers


def opposite(motion: int) -> int:
    """The motion that is this one backwards."""
    return motion ^ 1


class Drawn(NamedTuple):
    """What happens in b clips of f frames."""

    motions: Int[Tensor, "b s"]
    """The motion that leads to each frame but the first."""
    poses: Float[Tensor, "b f 4"]


def drawn(keys: Keys, frames: int, *, changes: bool = False) -> Drawn:
    """The motions of the clips with these keys, forwards.

    Args:
        frames: frames of a clip.
        changes: whether another motion begins in the middle third.
    """
    steps, which = frames - 1, uniform(keys, 3, WHICH)
    first = whole(which[:, 0], len(MOTIONS))
    motions = first[:, None].expand(-1, steps)
    if changes:
        second = (first + 1 + whole(which[:, 1], len(MOTIONS) - 1)) % len(MOTIONS)
        third = steps // 3
        cut = third + whole(which[:, 2], steps - 2 * third + 1)
        motions = torch.where(torch.arange(steps) < cut[:, None], motions, second[:, None])
    low, high = AMOUNTS.double().unbind(1)
    amounts = (low + uniform(keys, 4, AMOUNT) * (high - low)) * SIGNS / steps
    moved = torch.zeros(len(first), frames, 4, dtype=torch.float64)
    sign = 1.0 - 2.0 * (motions % 2)
    axes = torch.nn.functional.one_hot(motions // 2, 4)
    moved[:, 1:] = (axes * sign[..., None] * amounts[:, None]).cumsum(1)
    least, most = LEAST - moved.amin(1), MOST - moved.amax(1)  # the whole way stays within the bounds
    least[:, FREE], most[:, FREE] = LEAST[FREE], MOST[FREE]
    start = least + uniform(keys, 4, PLACE) * (most - least)
    return Drawn(motions, start[:, None] + moved)


def pictures(digits: UInt8[Tensor, "b 28 28"], poses: Float[Tensor, "b f 4"]) -> UInt8[Tensor, "b f y x"]:
    """The frames, white on black."""
    count, frames = poses.shape[:2]
    x, y, size, angle = poses.flatten(0, 1).unbind(-1)
    places = similar(SIDE, angle, size.exp(), torch.stack([x, y], -1))
    found = sampled(digits.repeat_interleave(frames, 0), places)
    pixels: Tensor = (255 * found).round().clamp(0, 255).byte().unflatten(0, (count, frames))
    return pixels


def of_frames(motions: Int[Tensor, "b s"]) -> Int[Tensor, "b f"]:
    """The name of each frame: the motion that leads to it; of the first frame the one that leads from it."""
    return torch.cat([motions[:, :1], motions], 1)


def backwards(motions: Int[Tensor, "b s"]) -> Int[Tensor, "b s"]:
    """The motions of the clips backwards."""
    return motions.flip(1) ^ 1
