"""An example, a batch and a prediction of the captions task."""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from saccade.tasks.captions.words import PAD, UNKNOWN


class Box(NamedTuple):
    """A rectangle in pixels of the image as the model takes it; bottom and right are excluded."""

    top: float
    left: float
    bottom: float
    right: float

    def holds(self, y: float, x: float) -> bool:
        return self.top <= y < self.bottom and self.left <= x < self.right


class Example(NamedTuple):
    """An image of a split with its captions, read or drawn when it is needed; or a user's image; or a caption alone."""

    split: str
    """"train", "validation" or "test"; "" for a user's image; "texts" for a caption without an image."""
    row: int
    """The number of the image in the split."""
    references: tuple[str, ...]
    """All of its captions, as words separated by spaces; () if they are unknown."""
    symbols: tuple[int, ...]
    """The caption to write, without start and end: in training each caption is an example, else this is the first."""
    image: UInt8[Tensor, "3 y x"] | None = None
    """A user's image."""
    key: str = ""
    """The key of a user's image."""
    notes: tuple[str, ...] = ()
    cut: bool = False
    """Whether `symbols` are the beginning of a longer caption, which does not end after them."""


class Batch(NamedTuple):
    """Images and captions. A decoder reads tokens[:, :-1] and writes tokens[:, 1:] where mask[:, 1:] holds."""

    pixels: Float[Tensor, "n 3 y x"]
    """(p - 127) / 128 of bytes p; n = b, or n = 0 for captions without images."""
    keys: tuple[str, ...]
    """A name of each image: equal keys mean equal pixels, in this run and in any other. () without images."""
    tokens: Int[Tensor, "b t"]
    """Start, the caption's symbols, end unless it was cut, then padding. A user's image has start and end alone."""
    mask: Bool[Tensor, "b t"]
    """True for start, symbols and end."""
    references: Int[Tensor, "b r t"]
    """In evaluation all captions of each image in the form of `tokens`, padding where an image has fewer; r = 0 in
    training, that is, with a generator."""


def counted(symbols: Int[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
    """Where a symbol counts in a loss and in the perplexity: not at padding, and not at an unknown word. A vocabulary
    of all training words has no unknown one to learn from, and where it has some, a model should not write them."""
    return (symbols != PAD) & (symbols != UNKNOWN)


def targets_of(tokens: Int[Tensor, "b t"]) -> Int[Tensor, "b u"]:
    """The symbols to write, one after each that is read; padding where none counts."""
    following = tokens[:, 1:]
    return following.where(counted(following), PAD)


class Said(NamedTuple):
    """A caption that a model wrote, and what it gives to the image's own captions."""

    symbols: tuple[int, ...]
    """Without start and end."""
    log_prob: float = 0.0
    """Its log-probability in nats, that of the end included."""
    reference_nats: float | None = None
    """The negative log-likelihood of all captions of `Batch.references` together, the ends included and unknown words
    left out, in nats; None if it is not known. The perplexity a word is exp(its sum over images / the sum of
    `reference_words`)."""
    reference_words: int = 0
    """The number of words and ends in `reference_nats`."""
    others: tuple[tuple[tuple[int, ...], float], ...] = ()
    """Further captions with their log-probabilities, best first."""
    greedy: tuple[int, ...] | None = None
    """The caption that greedy search finds, to be scored beside it; None if it was not searched."""
    nearest: tuple[int, ...] | None = None
    """The caption of the training image that is nearest by a system's own features, to be scored beside it."""
