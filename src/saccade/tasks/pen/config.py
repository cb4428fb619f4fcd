"""The lines of handwriting that a model is trained on, and the writer whose style it imitates."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import Seed, config
from saccade.core.errors import InvalidInput
from saccade.tasks.pen.letters import ALPHABET

Count = Annotated[int, Field(ge=1, le=1000)]
Spacing = Annotated[float, Field(ge=0, le=5)]
OF_LETTERS = ("lines", "fewest", "most", "narrowest", "widest", "draw", "prime", "prime_text")


@config
class PenConfig:
    """Lines of handwriting."""

    corpus: Literal["letters", "iam"] = "letters"
    """letters: lines composed of the embedded letters, lower case only; iam: the lines of IAM-OnDB in `folder`."""
    folder: Path | None = None
    """The folder of IAM-OnDB: lineStrokes, ascii and, for its own splits, the lists."""
    lines: Annotated[int, Field(ge=1, le=100_000)] = 12000
    """Training lines of letters, each distorted differently; validation and test have a sixtieth as many."""
    fewest: Count = 2
    """Fewest characters of a line of letters."""
    most: Count = 14
    """Most characters of a line of letters; a sixth are spaces."""
    narrowest: Spacing = 0.25
    """Smallest distance between two letters, in x-heights."""
    widest: Spacing = 0.45
    """Largest distance between two letters, in x-heights."""
    draw: Seed = 1
    """Seed of the lines."""
    prime: Annotated[int, Field(ge=1, le=20)] | None = None
    """Imitate this writer of the embedded letters: `prime_text`, in their letters, precedes the text."""
    prime_text: Annotated[str, Field(min_length=1, max_length=60)] = "the fox"
    """The text that primes the model."""

    @model_validator(mode="after")
    def check_ranges(self) -> "PenConfig":
        if self.corpus == "letters" and self.folder is not None:
            raise ValueError("folder is set, but corpus is 'letters'; type --task.corpus iam")
        if self.corpus == "iam" and self.folder is None:
            raise ValueError("corpus is 'iam', which needs its folder; type --task.folder FOLDER")
        defaults = {field.name: field.default for field in fields(self)}
        for name in OF_LETTERS if self.corpus == "iam" else ():
            if getattr(self, name) != defaults[name]:
                raise ValueError(f"{name.replace('_', '-')} is set, but corpus is 'iam'; type --task.corpus letters")
        if self.fewest > self.most:
            raise ValueError(f"fewest is {self.fewest} and most is {self.most}; most must be at least fewest")
        if self.narrowest > self.widest:
            raise ValueError(f"narrowest is {self.narrowest} and widest is {self.widest}; it must not be smaller")
        check_characters(self.prime_text, ALPHABET)
        return self


def check_characters(text: str, alphabet: str) -> None:
    """Check that a text is not empty and that all its characters are in the alphabet.

    Raises:
        InvalidInput: naming the character.
    """
    if not text.strip():
        raise InvalidInput("expected a text to write; the input is empty")
    for character in text:
        if character not in alphabet:
            known = "space and the lower-case letters a to z" if alphabet == ALPHABET else repr(alphabet)
            raise InvalidInput(f"{character!r} is not in the training lines; the characters are: {known}")
