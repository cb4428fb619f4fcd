"""The kinds of images that are made of digits, each as its paper defines it."""

from typing import Annotated, Literal

from jaxtyping import Float, Int, Int16
from pydantic import Field
from torch import Tensor

from saccade.core.config import NAMED, config
from saccade.tasks.digits import placing
from saccade.tasks.digits.draws import Keys, uniform, whole
from saccade.tasks.digits.mnist import SIDE, Digits

Canvas = Annotated[int, Field(ge=SIDE, le=512)]
Pieces = Annotated[int, Field(ge=0, le=64)]
Piece = Annotated[int, Field(ge=1, le=SIDE)]
AT, PIECES = 0, 1  # streams of random numbers


class Kind:
    """A kind of images. What is drawn for an image is a function of its key."""

    digits = 1
    """How many digits an image shows, from left to right."""

    @property
    def size(self) -> int:
        """Rows and columns of an image."""
        return SIDE

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        """Images in [0, 1] of these digits of the source; 0 is black, the background."""
        raise NotImplementedError

    def labels(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Int[Tensor, "b digits"]:
        """The classes of the digits of each image."""
        return source.labels[rows][:, None]


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
    size: Canvas = 60
    """Rows and columns of the canvas."""

    def images(self, source: Digits, rows: Int[Tensor, " b"], keys: Keys) -> Float[Tensor, "b size size"]:
        return placing.bright(translated(source, rows, keys, self.size))


@config
class Cluttered(Kind):
    """A translated digit, and pieces of other digits at random places (Mnih et al. 2014, 4.1): four pieces of 8 x 8
    on 60 x 60, eight on 100 x 100."""

    name: Literal["cluttered"] = "cluttered"
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


def translated(source: Digits, rows: Int[Tensor, " b"], keys: Keys, size: int) -> Int16[Tensor, "b size size"]:
    """Digits at random places, wholly on the canvas."""
    canvas = placing.blank(len(rows), size)
    top, left = whole(uniform(keys, 2, AT), size - SIDE + 1).T[..., None]
    placing.place(canvas, source.images[rows].view(-1, 1, SIDE * SIDE), top, left)
    return canvas


def clutter(
    canvas: Int16[Tensor, "b size size"], source: Digits, rows: Int[Tensor, " b"], keys: Keys, pieces: int, piece: int
) -> None:
    """Add square pieces of other digits, cut from random places of theirs, to random places of the canvas."""
    drawn = uniform(keys, 5 * pieces, PIECES).view(len(rows), 5, pieces).unbind(1)
    count, size = len(source.labels), canvas.shape[-1]
    # another digit: a step of 1 to count - 1 around the circle of all digits
    others = (rows[:, None] + 1 + whole(drawn[0], max(1, count - 1))) % count
    top, left = (whole(part, SIDE - piece + 1) for part in drawn[1:3])
    pixels = placing.cut(source.images, others, top, left, piece)
    placing.place(canvas, pixels, *(whole(part, size - piece + 1) for part in drawn[3:5]))


Choice = Annotated[Plain | Translated | Cluttered, Field(discriminator="name"), NAMED]
