"""Which sentences a tagger is trained on."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import Many, config


@config
class EntitiesConfig:
    """Sentences with a tag for each word."""

    train: Path | None = None
    """Your own training data instead of WNUT-17: CoNLL lines, the word first and its tag last, an empty line after each
    sentence; plain or gzip."""
    validation: Path | None = None
    """The same for validation; required with train."""
    test: Path | None = None
    """The same for the test; required with train."""
    limit: Many | None = None
    """Largest number of sentences of each split; none: all."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training sentences that are kept, evenly spread: 0.2 keeps every fifth."""
    answers: Literal["brackets", "conll"] = "brackets"
    """How an answer is written: brackets: the sentence, with its names in brackets; conll: a line for each word, with
    its tag after a tab, and an empty line after the sentence."""
    hidden: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the words seen once that are replaced by the unknown word in training, so that it is learned (Lample et
    al. 2016, 4.4)."""
    letters: Annotated[int, Field(ge=1, le=1000)] = 20
    """The most characters of a word that are read."""

    @model_validator(mode="after")
    def check_choices(self) -> "EntitiesConfig":
        given = {name: getattr(self, name) for name in ("train", "validation", "test")}
        if any(given.values()) and not all(given.values()):
            missing = ", ".join(name for name, path in given.items() if path is None)
            raise ValueError(f"{missing} is missing: your own data need train, validation and test")
        return self
