"""The kinds of images that are made of digits, each as its paper defines it."""

from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float, Int, Int16
from pydantic import Field, model_validator
from torch import Tensor

from saccade.core.config import NAMED, config
from saccade.core.errors import InvalidInput
from saccade.tasks.digits import placing, warps
from saccade.tasks.digits.draws import Keys, normal, uniform, whole
from saccade.tasks.digits.image_file import Fit
from saccade.tasks.digits.mnist import SIDE, Digits

Canvas = Annotated[int, Field(ge=SIDE, le=512)]
Pieces = Annotated[int, Field(ge=0, le=64)]
Piece = Annotated[int, Field(ge=1, le=SIDE)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Scale = Annotated[float, Field(ge=0.1, le=10)]
Pixels = Annotated[float, Field(ge=0, le=SIDE)]
TRIES = 5  # draws of the corners of a quadrilateral, after which it is left square
AT, PIECES, WARP, MOVES, SECOND, INK = range(6)  # streams of random numbers


class Kind:
    """A kind of images. What is drawn for an image is a function of its key."""

    digits: ClassVar[int] = 1
    """How many digits an image shows, from left to right."""
    fit: ClassVar[Fit] = "digit"
    """How a user's image becomes one of this kind."""
    modelled: ClassVar[bool] = False
    """Whether models say how probable the images are, rather than what they show."""

    @property
    def size(self) -> int:
        """Rows and columns of an image."""
        return SIDE

    @property
    def anew(self) -> bool:
        """Whether the training images of an epoch differ from those of another."""
        return True

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        """Images in [0, 1] of these digits of the source; 0 is black, the background."""
        raise NotImplementedError

    def labels(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Int[Tensor, "b digits"]:
        """The classes of the digits of each image."""
        return source.labels[rows][:, None]

    def boxes(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Int[Tensor, "b 4"]:
        """Where the digit of each image is: top, left, bottom and right of its ink, the last two excluded.

        Raises:
            InvalidInput: images of a kind whose digits are not at a place of their own.
        """
        raise InvalidInput(f"{self.name} images have no boxes; translated and cluttered ones do")  # type: ignore[attr-defined]


@config
class Plain(Kind):
    """The digits themselves, 28 x 28."""

    name: Literal["plain"] = "plain"

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        return source.images[rows] / 255


@config
class Translated(Kind):
    """A digit at a random place of a black canvas (Mnih et al. 2014, arXiv:1406.6247, 4.1)."""

    name: Literal["translated"] = "translated"
    fit: ClassVar[Fit] = "place"
    size: Canvas = 60
    """Rows and columns of the canvas."""

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        return placing.bright(translated(source, rows, keys, self.size))

    def boxes(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Int[Tensor, "b 4"]:
        return boxes_of(source, rows, keys, self.size)


@config
class Cluttered(Kind):
    """A translated digit, and pieces of other digits at random places (Mnih et al. 2014, 4.1): four pieces of 8 x 8
    on 60 x 60, eight on 100 x 100."""

    name: Literal["cluttered"] = "cluttered"
    fit: ClassVar[Fit] = "whole"
    size: Canvas = 60
    """Rows and columns of the canvas."""
    pieces: Pieces = 4
    """Pieces of other digits."""
    piece: Piece = 8
    """Rows and columns of a piece."""

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        canvas = translated(source, rows, keys, self.size)
        clutter(canvas, source, rows, keys, self.pieces, self.piece)
        return placing.bright(canvas)

    def boxes(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Int[Tensor, "b 4"]:
        return boxes_of(source, rows, keys, self.size)


def translated(source: Digits, rows: Int[Tensor, " b"], keys: Keys, size: int) -> Int16[Tensor, "b size size"]:
    """Digits at random places, wholly on the canvas."""
    canvas = placing.blank(len(rows), size)
    top, left = corners(keys, size)
    placing.place(canvas, source.images[rows].view(-1, 1, SIDE * SIDE), top, left)
    return canvas


def corners(keys: Keys, size: int) -> Int[Tensor, "2 b 1"]:
    """The first row and column of each digit's square on a canvas."""
    return whole(uniform(keys, 2, AT), size - SIDE + 1).T[..., None]


def boxes_of(source: Digits, rows: Int[Tensor, " b"], keys: Keys, size: int) -> Int[Tensor, "b 4"]:
    """The boxes of the ink of translated digits."""
    ink = source.images[rows] > 0
    found = []
    for axis, start in zip((2, 1), corners(keys, size), strict=True):
        there = ink.any(axis).byte()
        low, high = there.argmax(1), SIDE - there.flip(1).argmax(1)
        found.append((start[:, 0] + low, start[:, 0] + high))
    (top, bottom), (left, right) = found
    return torch.stack([top, left, bottom, right], 1)


def clutter(
    canvas: Int16[Tensor, "b size size"], source: Digits, rows: Int[Tensor, " b"], keys: Keys, pieces: int, piece: int
) -> None:
    """Add square pieces of other digits, cut from random places of theirs, to random places of the canvas."""
    drawn = uniform(keys, 5 * pieces, PIECES).view(len(rows), 5, pieces).unbind(1)
    size, other = canvas.shape[-1], others(rows[:, None], len(source.labels), drawn[0])
    top, left = (whole(part, SIDE - piece + 1) for part in drawn[1:3])
    pixels = placing.cut(source.images, other, top, left, piece)
    placing.place(canvas, pixels, *(whole(part, size - piece + 1) for part in drawn[3:5]))


@config
class Rotated(Kind):
    """R: a digit turned about its centre by a uniform angle (Jaderberg et al. 2015, arXiv:1506.02025, A.4)."""

    name: Literal["rotated"] = "rotated"
    angle: Degrees = 90
    """The largest angle to either side, in degrees."""

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        angle = between(-self.angle, self.angle, uniform(keys, 1, WARP)[:, 0]).deg2rad()
        centre = torch.full((len(rows), 2), warps.CENTRE, dtype=torch.float64)
        places = warps.similar(SIDE, angle, torch.ones_like(angle), centre)
        return warps.sampled(source.images[rows], places)


@config
class RotatedTranslatedScaled(Kind):
    """RTS: a digit turned, scaled, and moved to a random place of a canvas, all uniform (Jaderberg et al. 2015, A.4).

    The scaled square of the digit, before it is turned, lies wholly on the canvas.
    """

    name: Literal["rotated-translated-scaled"] = "rotated-translated-scaled"
    fit: ClassVar[Fit] = "place"
    size: Canvas = 42
    """Rows and columns of the canvas."""
    angle: Degrees = 45
    """The largest angle to either side, in degrees."""
    smallest: Scale = 0.7
    """Smallest factor on the size of the digit."""
    largest: Scale = 1.2
    """Largest factor on the size of the digit."""

    @model_validator(mode="after")
    def check_sizes(self) -> "RotatedTranslatedScaled":
        check_order(self.smallest, self.largest)
        if self.largest * SIDE > self.size:
            raise ValueError(
                f"a digit of {self.largest:g} x {SIDE} pixels does not fit on a canvas of {self.size} x {self.size}; "
                "make size larger or largest smaller"
            )
        return self

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        drawn = uniform(keys, 4, WARP)
        angle = between(-self.angle, self.angle, drawn[:, 0]).deg2rad()
        scale = between(self.smallest, self.largest, drawn[:, 1])
        room = self.size - SIDE * scale[:, None]
        centre = SIDE * scale[:, None] / 2 - 0.5 + room * drawn[:, 2:]
        return warps.sampled(source.images[rows], warps.similar(self.size, angle, scale, centre))


@config
class Projective(Kind):
    """P: a digit scaled by a uniform factor, then each corner moved by a normal distance along both axes (Jaderberg
    et al. 2015, A.4).

    It may leave the image. Where the corners no longer form a convex quadrilateral, as for one digit in fifty, they
    are drawn again; the paper says nothing of this.
    """

    name: Literal["projective"] = "projective"
    smallest: Scale = 0.75
    """Smallest factor on the size of the digit."""
    largest: Scale = 1.0
    """Largest factor on the size of the digit."""
    deviation: Pixels = 5.0
    """Standard deviation of the corners' displacements, in pixels."""

    @model_validator(mode="after")
    def check_sizes(self) -> "Projective":
        check_order(self.smallest, self.largest)
        return self

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        scale = between(self.smallest, self.largest, uniform(keys, 1, WARP))[..., None]
        corners = warps.CENTRE * (2 * warps.pixels(2) - 1) * scale + warps.CENTRE
        tries = corners[:, None] + self.deviation * normal(keys, 8 * TRIES, MOVES).view(-1, TRIES, 4, 2)
        tries = torch.cat([tries, corners[:, None]], 1)
        moved = tries[torch.arange(len(rows)), warps.convex(tries).int().argmax(1)]  # the first that is convex
        return warps.sampled(source.images[rows], warps.projected(moved))


@config
class Elastic(Kind):
    """E: a digit scaled by a uniform factor, then bent by a thin plate spline whose 16 control points, in a regular
    grid, are moved by normal distances (Jaderberg et al. 2015, A.4)."""

    name: Literal["elastic"] = "elastic"
    smallest: Scale = 0.75
    """Smallest factor on the size of the digit."""
    largest: Scale = 1.0
    """Largest factor on the size of the digit."""
    deviation: Pixels = 1.5
    """Standard deviation of the control points' displacements, in pixels."""

    @model_validator(mode="after")
    def check_sizes(self) -> "Elastic":
        check_order(self.smallest, self.largest)
        return self

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        scale = between(self.smallest, self.largest, uniform(keys, 1, WARP)[:, 0])
        moved = self.deviation * normal(keys, 32, MOVES).view(-1, 16, 2)
        return warps.sampled(source.images[rows], warps.bent(scale, moved))


@config
class TwoDigits(Kind):
    """Two digits on a canvas, to be read from left to right (after the pairs of Ba, Mnih & Kavukcuoglu 2015,
    arXiv:1412.7755, 4.1, on 100 x 100 and without an order).

    The second digit is another one of the split. All places whose columns are far enough apart are equally likely.
    """

    name: Literal["two-digits"] = "two-digits"
    fit: ClassVar[Fit] = "whole"
    digits: ClassVar[int] = 2
    size: Annotated[int, Field(ge=SIDE + 1, le=512)] = 60
    """Rows and columns of the canvas."""
    apart: Annotated[int, Field(ge=1, le=512)] = 20
    """The least distance of their columns, in pixels; a digit's ink is up to 20 pixels wide."""
    pieces: Pieces = 0
    """Pieces of other digits, as in the cluttered kind."""
    piece: Piece = 8
    """Rows and columns of a piece."""

    @model_validator(mode="after")
    def check_sizes(self) -> "TwoDigits":
        if self.apart > self.size - SIDE:
            raise ValueError(
                f"apart is {self.apart}, but on a canvas of {self.size} columns two digits are at most "
                f"{self.size - SIDE} apart"
            )
        return self

    def pairs(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Int[Tensor, "b 2"]:
        """The rows of both digits."""
        return torch.stack([rows, others(rows, len(source.labels), uniform(keys, 1, SECOND)[:, 0])], 1)

    def labels(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Int[Tensor, "b digits"]:
        return source.labels[self.pairs(source, rows, keys)]

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        drawn, most = uniform(keys, 4, AT), self.size - SIDE
        top = whole(drawn[:, :2], most + 1)
        # two different numbers, in order, are two columns at least `apart` from each other
        count = most - self.apart + 2
        first = whole(drawn[:, 2], count)
        left = torch.stack([first, others(first, count, drawn[:, 3])], 1).sort(1).values
        left = left + torch.tensor([0, self.apart - 1])
        canvas = placing.blank(len(rows), self.size)
        placing.place(canvas, source.images[self.pairs(source, rows, keys)].flatten(2), top, left)
        clutter(canvas, source, rows, keys, self.pieces, self.piece)
        return placing.bright(canvas)


@config
class Binarised(Kind):
    """Digits in black and white: a pixel is white with the probability that its brightness gives.

    fixed: drawn once, as in Salakhutdinov & Murray 2008 (10.1145/1390156.1390266), with our seed; dynamic: drawn anew
    for each epoch of training. Bounds on the two, and on binarisations with other seeds, differ.
    """

    name: Literal["binarised"] = "binarised"
    modelled: ClassVar[bool] = True
    pixels: Literal["fixed", "dynamic"] = "fixed"
    """Whether the pixels of the training images are drawn once, or anew in each epoch."""

    @property
    def anew(self) -> bool:
        return self.pixels == "dynamic"

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        drawn = uniform(keys, SIDE * SIDE, INK).view(-1, SIDE, SIDE)
        return (drawn < source.images[rows].double() / 255).float()


def between(low: float, high: float, uniforms: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    return low + (high - low) * uniforms


def others(rows: Int[Tensor, "*#b"], count: int, uniforms: Float[Tensor, "*#b"]) -> Int[Tensor, "..."]:
    """For each row another of `count` rows, all equally likely: a step of 1 to count - 1 around the circle."""
    return (rows + 1 + whole(uniforms, max(1, count - 1))) % count


def check_order(smallest: float, largest: float) -> None:
    if smallest > largest:
        raise ValueError(f"smallest is {smallest:g} and largest is {largest:g}; it must not be smaller")


Choice = Annotated[
    Plain | Translated | Cluttered | Rotated | RotatedTranslatedScaled | Projective | Elastic | TwoDigits | Binarised,
    Field(discriminator="name"),
    NAMED,
]
