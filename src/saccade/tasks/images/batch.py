"""An example, a batch and the predictions of the images task."""

from typing import NamedTuple

from jaxtyping import Float, Int, UInt8
from torch import Tensor


class Example(NamedTuple):
    """An image of a split, by its number; or a user's image."""

    split: str
    """"train", "validation" or "test"; "" for a user's image."""
    row: int
    """Its number in the split."""
    label: int | None
    """The number of its class; None if it is unknown."""
    image: UInt8[Tensor, "c y x"] | None = None
    """A user's image."""
    notes: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Images and their classes."""

    images: Float[Tensor, "b c y x"]
    """Normalised pixels."""
    labels: Int[Tensor, " b"]
    """The class of each image, before it was mixed with another; 0 if it is unknown."""
    targets: Float[Tensor, "b k"]
    """The probability of each class: 1 for the label, unless labels are smoothed or images mixed."""


class Ranked(NamedTuple):
    """The most probable classes, at most five, best first."""

    labels: tuple[int, ...]
    probabilities: tuple[float, ...]
