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
class BytePieces:
    """Sequences of bytes that often stand together, as in GPT-2 (Sennrich et al. 2016; Radford et al. 2019)."""

    name: Literal["byte-pieces"] = "byte-pieces"
    size: Annotated[int, Field(ge=257, le=1_000_000)] = 1024
    """The most symbols that are learned from the training text; 256 of them are the single bytes."""
    vocabulary: Path | None = None
    """GPT-2's vocab.json, or another of its form; none: learned. It needs merges."""
    merges: Path | None = None
    """GPT-2's merges.txt, or another of its form; it needs vocabulary."""

    @model_validator(mode="after")
    def check_files(self) -> "BytePieces":
        if (self.vocabulary is None) != (self.merges is None):
            given, other = ("vocabulary", "merges") if self.merges is None else ("merges", "vocabulary")
            raise ValueError(f"{given} is set, but {other} is not; give both files, or neither to learn the pieces")
        return self


@config
class WordPieces:
    """Words, or pieces of rare ones, as in BERT (Schuster & Nakajima 2012; Devlin et al. 2019). Spaces are not kept."""

    name: Literal["word-pieces"] = "word-pieces"
    size: Annotated[int, Field(ge=100, le=1_000_000)] = 8000
    """The most symbols that are learned from the training text."""
    vocabulary: Path | None = None
    """BERT's vocab.txt, or another of its form: a piece a line; none: learned."""
    lowercase: bool = True
    """Read capitals as small letters, and letters without their accents."""


@config
class UnigramPieces:
    """The likeliest cut of a text into pieces that are independent, as in XLNet (Kudo 2018, arXiv:1804.10959). They are
    read from a file, not learned here. Runs of spaces are not kept."""

    name: Literal["unigram-pieces"] = "unigram-pieces"
    tokenizer: Path = Path("tokenizer.json")
    """The tokenizer.json of a folder of Hugging Face."""


Scheme = Characters | Bytes | Lines | BytePieces | WordPieces | UnigramPieces


@config
class TextConfig:
    """One long text."""

    corpus: Literal["text", "levels"] = "text"
    """text: the files of `file`, or the embedded tinyshakespeare; levels: levels of a game from a seeded grammar, one
    line for each column."""
    file: Annotated[tuple[Path, ...], Field(max_length=10_000)] = ()
    """Your own text, plain or gzip, in UTF-8; several files are read one after the other."""
    limit: Annotated[int, Field(ge=100, le=10**9)] | None = None
    """The most characters of the text that are read, from its beginning; none: all."""
    symbols: Annotated[Scheme, Field(discriminator="name"), NAMED] = Characters()
    """What is predicted one after the other: characters, bytes, whole lines, or pieces of words (byte-pieces,
    word-pieces, unigram-pieces)."""
    context: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Symbols read before those that are scored, in validation and test; as many are scored at a time."""
    window: Annotated[int, Field(ge=1, le=100_000)] = 128
    """Symbols of a training window."""
    validated: Many = 30_000
    """The most symbols of the validation part that are scored."""
    draw: Seed = 1
    """Seed of the levels."""

    @property
    def extras(self) -> tuple[str, ...]:
        """What must be installed."""
        return ("text",) if isinstance(self.symbols, BytePieces | WordPieces | UnigramPieces) else ()

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
