"""An example, a batch and the predictions of the digits task."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class Example(NamedTuple):
    """A digit of a split, from which its image is made when it is needed; or a user's image."""

    split: str
    """"train", "validation" or "test"; "" for a user's image."""
    row: int
    """Its number in the split."""
    labels: tuple[int, ...]
    """The digits in the image, from left to right; () if they are unknown."""
    epoch: int = 0
    """Training images are drawn anew in each epoch."""
    image: Float[Tensor, "y x"] | None = None
    """A user's image."""
    notes: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Images from 0 (black, the background) to 1 (white), and their labels."""

    images: Float[Tensor, "b 1 y x"]
    labels: Int[Tensor, " b"] | Int[Tensor, "b n"]
    """The digit of each image; where images have several, all of them, from left to right. 0 if unknown."""


class Bound(NamedTuple):
    """What a model of images says of one: a bound on its negative log-likelihood, and the bound's two terms."""

    nats: float
    reconstruction: float | None = None
    """Expected negative log-likelihood given the latents, in nats."""
    divergence: float | None = None
    """Kullback-Leibler divergence of the latents from their prior, in nats."""
    weighted: float | None = None
    """A tighter bound from several importance-weighted samples, in nats."""


Prediction = int | Sequence[int] | Bound
"""The digit; the digits from left to right; or, of binarised images, the bound."""
