"""Which sentences a classifier is trained on."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import NAMED, Many, Seed, config
from saccade.tasks.text import BytePieces, WordPieces


@config
class CorpusConfig:
    """Sentences, each of one class."""

    corpus: Literal["reviews", "sst2", "sst5", "mr", "trec", "subj"] = "reviews"
    """reviews: generated from a grammar, embedded; the others from `folder`: SST-2 and SST-5 (movie reviews of 2 and 5
    classes, whole sentences only), MR (movie reviews), TREC (6 kinds of questions), SUBJ (subjective or not)."""
    folder: Path | None = None
    """The folder with the files of a corpus, such as stsa.binary.train, plain or gzip."""
    train: Path | None = None
    """Your own training data instead of the corpus: a line is a label, a tab and a sentence; plain or gzip."""
    validation: Path | None = None
    """The same for validation. None: a tenth of the training sentences is held out."""
    test: Path | None = None
    """The same for the test. None: another tenth is held out."""
    reviews: Annotated[int, Field(ge=50, le=1_000_000)] = 4000
    """Reviews to generate for training; a fourth as many are for validation, and as many for the test."""
    draw: Seed = 1
    """Seed of the generated reviews, and of the splits of MR, SUBJ and your own data."""

    @model_validator(mode="after")
    def check_choices(self) -> "CorpusConfig":
        if self.train is None and (self.validation or self.test):
            raise ValueError("validation or test is set, but not train; type --task.train FILE.tsv")
        if self.train is None and self.corpus != "reviews" and self.folder is None:
            raise ValueError(f"corpus is {self.corpus!r}, which needs its folder; type --task.folder FOLDER")
        if self.train is None and self.corpus == "reviews" and self.folder is not None:
            raise ValueError("folder is set, but corpus is 'reviews', which is generated; type --task.corpus sst2")
        return self


@config
class SentencesConfig(CorpusConfig):
    """Sentences, each of one class, read word by word."""

    lowercase: bool = True
    """Whether capitals are removed."""
    fewest: Many = 1
    """A word that occurs less often in training is unknown."""
    hidden: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the training words that are replaced by the unknown word, so that it is learned."""
    longest: Many = 200
    """The most words of a sentence that are read."""


@config
class PiecesConfig(CorpusConfig):
    """Sentences, each of one class, read in pieces of words between special symbols."""

    symbols: Annotated[BytePieces | WordPieces, Field(discriminator="name"), NAMED] = WordPieces(size=1000)
    """The pieces of words that are read."""
    longest: Annotated[int, Field(ge=8, le=100_000)] = 128
    """The most symbols of a sentence that are read, with the special ones at its ends."""
    classes: tuple[str, ...] = ()
    """The names of the classes, in the order of a checkpoint: those of the data, more, or as many others; none: those
    of the data."""

    @property
    def extras(self) -> tuple[str, ...]:
        """What must be installed."""
        return ("text",)
