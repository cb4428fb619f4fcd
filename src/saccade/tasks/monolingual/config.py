"""Which sentences a model of words reads."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from saccade.core.config import Many, config


@config
class MonolingualConfig:
    """Sentences, a line each."""

    train: Annotated[tuple[Path, ...], Field(max_length=10_000)] = ()
    """Your own text instead of Tatoeba's English sentences: a sentence a line, plain or gzip; several files are read
    one after the other."""
    validation: Path | None = None
    """The same for validation. None: a twentieth of the different sentences, at most 1,000, is held out."""
    test: Path | None = None
    """The same for the test. None: as many are held out."""
    tokenized: bool = False
    """Whether words are what stands between spaces, as in a text that is tokenized already."""
    fewest: Many = 2
    """A word that occurs less often in training is predicted as the unknown word. It is read like any other."""
    longest: Many = 100
    """The most words of a sentence; longer ones are read in parts of as many."""
    letters: Annotated[int, Field(ge=3, le=1000)] = 50
    """The most symbols of a word that are read: its bytes in UTF-8, and the marks of its beginning and its end."""
    limit: Many | None = None
    """Largest number of sentences of each split; none: all."""

    @model_validator(mode="after")
    def check_choices(self) -> "MonolingualConfig":
        if not self.train and (self.validation or self.test):
            raise ValueError("validation or test is set, but not train; type --task.train FILE.txt")
        return self
