"""Which text is masked, how it is cut into examples, and how symbols are masked."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import NAMED, Seed, config
from saccade.tasks.text import BytePieces, TextConfig, WordPieces

Share = Annotated[float, Field(ge=0, le=1)]


@config
class MaskedConfig:
    """A text with masked symbols."""

    file: Annotated[tuple[Path, ...], Field(max_length=10_000)] = ()
    """Your own text, plain or gzip, in UTF-8, read line by line; none: the embedded tinyshakespeare."""
    limit: Annotated[int, Field(ge=100, le=10**9)] | None = None
    """The most characters of the text that are read, from its beginning; none: all."""
    symbols: Annotated[BytePieces | WordPieces, Field(discriminator="name"), NAMED] = WordPieces()
    """The pieces of words that are read and predicted."""
    examples: Literal["pairs", "full-sentences"] = "pairs"
    """pairs: two segments A and B of whole lines; half of the B follow A in the text, the others are from elsewhere
    (BERT). full-sentences: as many whole lines, one after the other, as there is room for (RoBERTa)."""
    length: Annotated[int, Field(ge=8, le=100_000)] = 128
    """The most symbols of an example, with the special ones at its ends."""
    early_length: Annotated[int, Field(ge=8, le=100_000)] | None = None
    """The most symbols of an example in the first part of the training, where attention is learned sooner (128 in BERT,
    whose later ones have 512); none: as many as later."""
    early_share: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """The share of the updates that are the first part."""
    chosen: Annotated[float, Field(gt=0, le=1)] = 0.15
    """Share of the symbols of an example that are chosen to be predicted; special symbols never are."""
    masked: Share = 0.8
    """Share of the chosen symbols that are replaced by the mask."""
    replaced: Share = 0.1
    """Share of the chosen symbols that are replaced by random ones; the rest stays as it is."""
    duplicates: Annotated[int, Field(ge=1, le=1000)] | None = 1
    """Copies of the training text, each with its own pairs and masks, which then stay the same; none: one copy, whose
    masks are drawn anew in each pass."""
    draw: Seed = 1
    """Seed of the pairs and the masks."""

    @property
    def extras(self) -> tuple[str, ...]:
        """What must be installed."""
        return self.text.extras

    @property
    def text(self) -> TextConfig:
        """The text without its masks."""
        return TextConfig(file=self.file, limit=self.limit, symbols=self.symbols)

    @model_validator(mode="after")
    def check_shares(self) -> "MaskedConfig":
        if self.masked + self.replaced > 1:
            raise ValueError(
                f"masked is {self.masked} and replaced {self.replaced}; both are shares of the chosen symbols, so "
                "their sum is at most 1"
            )
        if self.early_length is not None and self.early_length > self.length:
            raise ValueError(
                f"--task.early-length {self.early_length} is more than --task.length {self.length}; type a smaller one"
            )
        return self
