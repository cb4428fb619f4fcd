"""The text: the embedded tinyshakespeare, or files; its last tenth is for the test, the fortieth before it for
validation."""

import hashlib
import lzma
from functools import cache
from importlib import resources
from pathlib import Path

from saccade.core.errors import InvalidInput
from saccade.core.files import composed, read_lines

EMBEDDED = resources.files("saccade.tasks.text").joinpath("data", "tinyshakespeare.txt.xz")
LEAST = 100
"""Characters: a shorter text has no tenths to speak of."""
SPLITS = ("train", "validation", "test")


@cache
def embedded() -> str:
    """tinyshakespeare: 1,115,394 characters of Shakespeare's plays, in the public domain."""
    return lzma.decompress(EMBEDDED.read_bytes()).decode("ascii")


def read_files(paths: tuple[Path, ...]) -> str:
    """The texts of some files, one after the other, in composed form, with "\\n" between lines.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a file that is empty or not UTF-8, or a text that is too short to be split.
    """
    texts = []
    for path in paths:
        text = composed("\n".join([*read_lines(path), ""]))
        if not text.strip():
            raise InvalidInput(f"{path}: the file is empty")
        texts.append(text)
    whole = "".join(texts)
    if len(whole) < LEAST:
        raise InvalidInput(
            f"{', '.join(map(str, paths))}: expected at least {LEAST} characters, to be split into training, "
            f"validation and test, not {len(whole)}"
        )
    return whole


def text_of(paths: tuple[Path, ...]) -> str:
    return read_files(paths) if paths else embedded()


def parts(length: int) -> dict[str, range]:
    """The positions of each split: the last tenth is for the test, the fortieth before it for validation. Training
    gets the rest: a text changes as it goes on, and what stands nearest to the test teaches most."""
    first, second = length * 35 // 40, length * 9 // 10
    return {"train": range(first), "validation": range(first, second), "test": range(second, length)}


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
