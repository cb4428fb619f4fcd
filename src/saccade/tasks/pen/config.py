"""Which lines of handwriting, and whose hand a text is written in."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import Seed, config, refuse_unchosen
from saccade.core.errors import InvalidInput
from saccade.tasks.pen.letters import ALPHABET

Count = Annotated[int, Field(ge=1, le=1000)]
Spacing = Annotated[float, Field(ge=0, le=5)]


@config
class PenConfig:
    """Lines of handwriting."""

    corpus: Literal["letters", "iam"] = "letters"
    """Lines set together from embedded letters, lower case only; or those of IAM-OnDB in `folder`."""
    folder: Path | None = None
    """IAM-OnDB: a folder with lineStrokes, ascii and, for its own splits, the lists."""
    lines: Annotated[int, Field(ge=1, le=100_000)] = 12000
    """Training lines of letters, each distorted in its own way; validation and test have a sixtieth of them each."""
    fewest: Count = 2
    """Characters of a line of letters, at least."""
    most: Count = 14
    """Characters of a line of letters, at most; a sixth are spaces."""
    narrowest: Spacing = 0.25
    """Least distance between two letters, in x-heights."""
    widest: Spacing = 0.45
    """Greatest distance between two letters, in x-heights."""
    draw: Seed = 1
    """Seed of the lines."""
    prime: Annotated[int, Field(ge=1, le=20)] | None = None
    """Whose hand a synthesised text goes on in, a writer of the embedded letters: some of theirs are put before it."""
    prime_text: Annotated[str, Field(min_length=1, max_length=60)] = "the fox"
    """What they are."""

    @model_validator(mode="after")
    def check_ranges(self) -> "PenConfig":
        for name in ("lines", "fewest", "most", "narrowest", "widest", "draw", "prime", "prime_text"):
            refuse_unchosen(self, "corpus", {"iam": "folder", "letters": name})
        if self.corpus == "iam" and self.folder is None:
            raise ValueError("corpus is 'iam'; --task.folder FOLDER says where it is")
        if self.fewest > self.most:
            raise ValueError(f"fewest is {self.fewest}, and most is {self.most}; it must not be less")
        if self.narrowest > self.widest:
            raise ValueError(f"narrowest is {self.narrowest}, and widest is {self.widest}; it must not be less")
        check_characters(self.prime_text, ALPHABET)
        return self


def check_characters(text: str, alphabet: str) -> None:
    """Raise where the text is empty or holds what the alphabet has not.

    Raises:
        InvalidInput: naming the character.
    """
    if not text.strip():
        raise InvalidInput("there is no text to write")
    for character in text:
        if character not in alphabet:
            known = "space and the lower-case letters a to z" if alphabet == ALPHABET else repr(alphabet)
            raise InvalidInput(f"{character!r} is not among the characters that were learned: {known}")
