"""The recordings that a model is trained on, and the features computed from them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import Seed, config

Count = Annotated[int, Field(ge=1, le=1000)]
Seconds = Annotated[float, Field(ge=0, le=10)]


@config
class SpeechConfig:
    """Recordings and their transcripts."""

    corpus: Literal["digits", "dialled"] = "digits"
    """digits: strings of spoken digits, from the recordings in `folder`; dialled: synthesised telephone tones."""
    folder: Path | None = None
    """The single digits of the Free Spoken Digit Dataset: wav files, or an archive of them."""
    train: Path | None = None
    """Your own training data instead of the digits: lines path<tab>transcript, paths relative to that file."""
    validation: Path | None = None
    """The same for validation."""
    test: Path | None = None
    """The same for the test."""
    unit: Literal["word", "character"] = "word"
    """The unit of labels: words, or characters."""
    strings: Annotated[int, Field(ge=1, le=100_000)] = 4000
    """Training strings; validation has a tenth as many, the test a fifth."""
    fewest: Count = 3
    """Fewest digits of a string."""
    most: Count = 7
    """Most digits of a string."""
    times_as_long: Count = 1
    """Factor on the number of digits in validation and test strings (Chorowski et al. 2015)."""
    shortest_gap: Seconds = 0.05
    """Shortest silence around a digit, in seconds."""
    longest_gap: Seconds = 0.3
    """Longest silence around a digit, in seconds."""
    speaker: str | None = None
    """A speaker held out of training, whose recordings are the test set; none: the split of the data set."""
    draw: Seed = 1
    """Seed of the strings."""
    rate: Annotated[int, Field(ge=1000, le=1_000_000)] = 8000
    """Samples per second."""
    bins: Annotated[int, Field(ge=3, le=128)] = 40
    """Mel bands."""
    stack: Count = 3
    """Number of frames of 10 ms that are concatenated into one step of the encoder."""

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that reading and scoring these data need."""
        return ("speech",)

    @model_validator(mode="after")
    def check_ranges(self) -> "SpeechConfig":
        if self.corpus != "digits" and self.folder is not None:
            raise ValueError(f"folder is set, but corpus is {self.corpus!r}; type --task.corpus digits")
        if self.train is not None and self.speaker is not None:
            raise ValueError(
                f"speaker is {self.speaker!r}, but the recordings of {self.train} do not name their speakers"
            )
        if self.fewest > self.most:
            raise ValueError(f"fewest is {self.fewest} and most is {self.most}; most must be at least fewest")
        if self.shortest_gap > self.longest_gap:
            raise ValueError(
                f"shortest-gap is {self.shortest_gap} and longest-gap is {self.longest_gap}; it must not be shorter"
            )
        return self
