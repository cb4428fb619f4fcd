"""An answer, an example and a batch of the pen task."""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from saccade.tasks.pen.letters import Line, Points


class Written(NamedTuple):
    """The answer to a text: the points that were written, and the density of the example's own points."""

    characters: tuple[int, ...]
    points: tuple[tuple[float, ...], ...]
    """Normalised offsets, and 1 where a stroke ends."""
    weights: tuple[tuple[float, ...], ...]
    """The attention weight of each character for each point; () for a model without a window on the text."""
    begins: int
    """Number of characters of the prime, which were given with their points and not written."""
    ended: bool
    """Whether the model ended the text before the limit of steps."""
    nats: float
    """Minus the log-density of the example's points; NaN without points."""


class Example(NamedTuple):
    """A text and its points, as a line of letters or as an array; None for a text that a user types."""

    text: str
    drawn: Line | Points | None
    steps: int
    target: Written


class Batch(NamedTuple):
    """Padded lines. Each input is the point before its target; the first input is zeros."""

    inputs: Float[Tensor, "b t 3"]
    targets: Float[Tensor, "b t 3"]
    """Normalised offsets, and 1 where a stroke ends."""
    mask: Bool[Tensor, "b t"]
    points: Float[Tensor, "b t 3"]
    """The positions of the pen, in the units of the data."""
    characters: Int[Tensor, "b u"]
    lengths: Int[Tensor, " b"]
    asked: Int[Tensor, "b v"]
    """The characters to write, after those of the prime if there is one."""
    asked_lengths: Int[Tensor, " b"]
    prime: Float[Tensor, "b p 3"]
    """Normalised points of the prime."""
    begins: Int[Tensor, " b"]
    """Characters of the prime."""
