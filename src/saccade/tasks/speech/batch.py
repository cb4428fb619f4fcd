"""The symbols, an example and a batch of the speech task."""

from pathlib import Path
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from saccade.tasks.speech import digits

PAD = BLANK = 0
START, END = 1, 2
SPECIAL = ("blank", "start", "end")

Sound = digits.DigitString | Path | bytes  # the source of a sound: digits to join, a file, or the bytes of a file


class Example(NamedTuple):
    """A sound, its number of samples, and its transcript."""

    sound: Sound
    samples: int
    transcript: str
    target: list[int]


class Batch(NamedTuple):
    """Padded features and labels. Target inputs begin with a start symbol, and targets end with an end symbol."""

    features: Float[Tensor, "b t f"]
    mask: Bool[Tensor, "b t"]
    target_inputs: Int[Tensor, "b u"]
    targets: Int[Tensor, "b u"]

    @property
    def lengths(self) -> Int[Tensor, " b"]:
        """Steps of each recording."""
        return self.mask.sum(1)

    @property
    def labels(self) -> Int[Tensor, "b w"]:
        """The labels without start and end."""
        return self.target_inputs[:, 1:]

    @property
    def label_lengths(self) -> Int[Tensor, " b"]:
        return (self.labels != PAD).sum(1)
