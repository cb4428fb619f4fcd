"""Which recordings, of whom, how long, and the features that are made of them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import Seed, config, refuse_unchosen

Count = Annotated[int, Field(ge=1, le=1000)]
Seconds = Annotated[float, Field(ge=0, le=10)]


@config
class SpeechConfig:
    """Recordings and their transcripts."""

    corpus: Literal["digits", "dialled"] = "digits"
    """Strings of spoken digits, of the recordings in `folder`; or of a telephone's tones, which need none."""
    folder: Path | None = None
    """The single digits of the Free Spoken Digit Dataset, wav files or an archive of them; strings are made of them."""
    train: Path | None = None
    """Your own data in place of the digits: lines of path<tab>transcript, paths from where the file is."""
    validation: Path | None = None
    """As train."""
    test: Path | None = None
    """As train."""
    unit: Literal["word", "character"] = "word"
    """What a label of a transcript is."""
    strings: Annotated[int, Field(ge=1, le=100_000)] = 4000
    """Training strings of digits; validation has a tenth of them, and the test a fifth."""
    fewest: Count = 3
    """Digits of a string, at least."""
    most: Count = 7
    """Digits of a string, at most."""
    times_as_long: Count = 1
    """The strings of validation and test are so many times as long (Chorowski et al. 2015)."""
    shortest_gap: Seconds = 0.05
    """Silence around a digit, in seconds, at least."""
    longest_gap: Seconds = 0.3
    """Silence around a digit, in seconds, at most."""
    speaker: str | None = None
    """Who is left out of training and is the test; none: the set's own split."""
    draw: Seed = 1
    """Seed of the strings."""
    rate: Annotated[int, Field(ge=1000, le=1_000_000)] = 8000
    """Samples a second."""
    bins: Annotated[int, Field(ge=3, le=128)] = 40
    """Mel bands."""
    stack: Count = 3
    """Frames of 10 ms that are laid side by side, so that a step of the encoder is as many times longer."""

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that reading and scoring these data need."""
        return ("speech",)

    @model_validator(mode="after")
    def check_ranges(self) -> "SpeechConfig":
        refuse_unchosen(self, "corpus", {"digits": "folder"})
        if self.train is not None and self.speaker is not None:
            raise ValueError(
                f"speaker is {self.speaker!r}, but nothing says who speaks in the recordings of {self.train}"
            )
        if self.fewest > self.most:
            raise ValueError(f"fewest is {self.fewest}, and most is {self.most}; it must not be less")
        if self.shortest_gap > self.longest_gap:
            raise ValueError(
                f"shortest-gap is {self.shortest_gap}, and longest-gap is {self.longest_gap}; it must not be less"
            )
        return self
