"""Which text a model reads, and in which symbols."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import NAMED, Many, Seed, config


@config
class Characters:
    """Each character of the text is a symbol."""

    name: Literal["characters"] = "characters"


@config
class Bytes:
    """Each byte of the text in UTF-8 is a symbol, of 256."""

    name: Literal["bytes"] = "bytes"


@config
class Lines:
    """Each line of the text is a symbol, such as a column of a level."""

    name: Literal["lines"] = "lines"


@config
class TextConfig:
    """One long text."""

    corpus: Literal["text", "levels"] = "text"
    """text: the files of `file`, or the embedded tinyshakespeare; levels: levels of a game from a seeded grammar, one
    line for each column."""
    file: Annotated[tuple[Path, ...], Field(max_length=10_000)] = ()
    """Your own text, plain or gzip, in UTF-8; several files are read one after the other."""
    symbols: Annotated[Characters | Bytes | Lines, Field(discriminator="name"), NAMED] = Characters()
    """What is predicted one after the other: characters, bytes, or whole lines."""
    context: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Symbols read before those that are scored, in validation and test; as many are scored at a time."""
    window: Annotated[int, Field(ge=1, le=100_000)] = 128
    """Symbols of a training window."""
    validated: Many = 30_000
    """The most symbols of the validation part that are scored."""
    draw: Seed = 1
    """Seed of the levels."""

    @model_validator(mode="after")
    def check_choices(self) -> "TextConfig":
        if self.corpus == "levels" and self.file:
            raise ValueError("file is set, but corpus is 'levels', which is generated; type --task.corpus text")
        if self.corpus == "levels" and self.symbols.name != "lines":
            raise ValueError(
                f"symbols is {self.symbols.name!r}, but corpus is 'levels', whose symbols are its columns; type "
                "--task.symbols lines"
            )
        return self
