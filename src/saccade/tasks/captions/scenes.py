"""Scenes: two or three shapes on a light ground, drawn from a seed, with five captions each.

What is drawn is a function of the seed, the split and the number of the scene, computed for many scenes at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from saccade.tasks.captions.batch import Box
from saccade.tasks.captions.grammar import COLOURS, DRAWS, FORMS, SIZES, Thing, true_sentence
from saccade.tasks.digits.draws import Keys, keys_of, uniform, whole

VERSION = 1  # changes whenever the pixels of a seed do
SIDE = 64  # rows and columns of a scene
THINGS, CAPTIONS = 3, 5
RANGES = torch.tensor([[13, 17], [22, 27]])  # the sides of small and of large shapes: from, up to but not including
GAP = 2  # pixels between two shapes, at least
TRIES = 16  # draws of the places of all shapes, after which each stands in a quarter of its own
RGB = torch.tensor([[215, 40, 40], [240, 205, 40], [50, 160, 60], [45, 85, 210], [150, 65, 175], [35, 35, 35]])
LIGHT, SHADES = 205, 40  # the darkest ground, and how many shades there are
VARIATION = 30  # by how much a channel of a colour varies
SPLITS = ("train", "validation", "test")
WHAT, PLACES, QUARTERS, ORDER, SHADE, SAID, BEGUN = range(7)  # streams of random numbers


class Drawn(NamedTuple):
    """The shapes of b scenes. A scene of two has a third of side 0."""

    sizes: Int[Tensor, "b 3"]
    kinds: Int[Tensor, "b 3"]
    """The number of the form times the number of colours, plus that of the colour: three different ones."""
    sides: Int[Tensor, "b 3"]
    corners: Int[Tensor, "b 3 2"]
    """Top and left."""


def keys_of_scenes(seed: int, split: str, rows: Sequence[int]) -> Keys:
    return keys_of(seed, [SPLITS.index(split)] * len(rows), rows, [0] * len(rows))


def drawn(keys: Keys) -> Drawn:
    """The shapes of the scenes with these keys."""
    what = uniform(keys, 3 * THINGS + 1, WHAT).split([THINGS, THINGS, THINGS, 1], 1)
    sizes = whole(what[0], len(SIZES))
    low, high = RANGES[sizes].unbind(-1)
    sides = low + whole(what[1], high - low)
    sides[:, 2] *= whole(what[3][:, 0], 2)
    return Drawn(sizes, different(what[2], len(COLOURS) * len(FORMS)), sides, places(keys, sides))


def different(uniforms: Float[Tensor, "b n"], count: int) -> Int[Tensor, "b n"]:
    """n different numbers below the count, each set equally probable."""
    found = whole(uniforms, torch.arange(count, count - uniforms.shape[1], -1))
    for column in range(1, found.shape[1]):
        for taken in found[:, :column].sort(1).values.unbind(1):  # skip those taken, in ascending order
            found[:, column] += taken <= found[:, column]
    return found


def places(keys: Keys, sides: Int[Tensor, "b 3"]) -> Int[Tensor, "b 3 2"]:
    """Corners of shapes that do not touch: the first of some draws in which they do not; else in different quarters."""
    room = (SIDE - sides)[:, None, :, None] + 1
    tried = whole(uniform(keys, TRIES * THINGS * 2, PLACES).view(-1, TRIES, THINGS, 2), room)
    half = SIDE // 2
    jitter = whole(uniform(keys, 2 * THINGS, QUARTERS).view(-1, THINGS, 2), (half - GAP - sides)[..., None] + 1)
    quarter = different(uniform(keys, THINGS, ORDER), 4)
    quartered = jitter + torch.stack([quarter // 2, quarter % 2], -1) * half
    tried = torch.cat([tried, quartered[:, None]], 1)
    ends = tried + sides[:, None, :, None] + GAP
    apart = ((tried[:, :, :, None] >= ends[:, :, None]) | (tried[:, :, None] >= ends[:, :, :, None])).any(-1)
    absent = (sides == 0)[:, None, :, None] | (sides == 0)[:, None, None, :]
    free = (apart | absent | torch.eye(THINGS, dtype=torch.bool)).all(-1).all(-1)
    free[:, -1] = True
    found: Tensor = tried[torch.arange(len(tried)), free.int().argmax(1)]
    return found


def things(scenes: Drawn) -> list[list[Thing]]:
    """The objects of each scene."""
    found = []
    for sizes, kinds, sides, corners in zip(*(part.tolist() for part in scenes), strict=True):
        own = []
        for size, kind, side, (top, left) in zip(sizes, kinds, sides, corners, strict=True):
            if side:
                form, colour = divmod(kind, len(COLOURS))
                own.append(Thing(SIZES[size], COLOURS[colour], FORMS[form], Box(top, left, top + side, left + side)))
        found.append(own)
    return found


def captions(keys: Keys, objects: Sequence[Sequence[Thing]], largest_first: float = 0.0) -> list[tuple[str, ...]]:
    """Five captions of each scene, of which this share begins with the largest object."""
    draws = uniform(keys, CAPTIONS * DRAWS, SAID).view(-1, CAPTIONS, DRAWS).tolist()
    largest = (uniform(keys, CAPTIONS, BEGUN) < largest_first).tolist()
    return [
        tuple(true_sentence(own, *draw) for draw in zip(five, begun, strict=True))
        for own, five, begun in zip(objects, draws, largest, strict=True)
    ]


def images(keys: Keys, scenes: Drawn) -> UInt8[Tensor, "b 3 y x"]:
    """The scenes as images, their edges smoothed over a pixel."""
    shade, colours = uniform(keys, 1 + 3 * THINGS, SHADE).float().split([1, 3 * THINGS], 1)
    canvas: Tensor = (LIGHT + SHADES * shade)[:, :, None, None].expand(-1, 3, SIDE, SIDE)
    colours = RGB[scenes.kinds % len(COLOURS)] + VARIATION * (colours.view(-1, THINGS, 3) - 0.5)
    grid = torch.arange(SIDE) + 0.5
    for number in range(THINGS):
        half = scenes.sides[:, number, None, None] / 2
        y, x = (grid - (scenes.corners[:, number, axis, None] + half[:, 0]) for axis in (0, 1))
        covered = cover(scenes.kinds[:, number] // len(COLOURS), y[:, :, None], x[:, None], half)[:, None]
        canvas = torch.where(half[:, None] > 0, canvas.lerp(colours[:, number, :, None, None], covered), canvas)
    return canvas.round().clamp(0, 255).byte()


def cover(
    forms: Int[Tensor, " b"], y: Float[Tensor, "b y 1"], x: Float[Tensor, "b 1 x"], half: Float[Tensor, "b 1 1"]
) -> Float[Tensor, "b y x"]:
    """How much of each pixel a shape covers, from 0 to 1.

    Args:
        forms: square, circle, triangle or cross, by their numbers.
        y, x: distances from the middle, in pixels.
        half: half of the side.
    """
    up, aside = y.abs(), x.abs()
    arm = half / 3
    outside = torch.stack([
        torch.maximum(up, aside) - half,
        torch.hypot(y, x) - half,
        torch.maximum(up - half, (2 * aside - (y + half)) / 5**0.5),  # two sides meet in the middle of the upper edge
        torch.minimum(torch.maximum(up - half, aside - arm), torch.maximum(up - arm, aside - half)),
    ])  # fmt: skip
    own: Tensor = outside[forms, torch.arange(len(forms))]
    return (0.5 - own).clamp(0, 1)
