"""Plays as turns of speakers, and the dialogues that these form."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from saccade.core.errors import InvalidInput
from saccade.core.files import composed
from saccade.tasks.text.corpus import embedded, parts, read_files

WORD = re.compile(r"'?\w+(?:['-]\w+)*|[^\w\s]")
SPEAKER = re.compile(r"[^\n:]{1,60}:")
# in capitals, of several words, or alone on its line; "Come: let us go" is no name
NAME = re.compile(r"\s*(?:[A-Z][A-Z' ]+:(?:\s|$)|[A-Z][\w']*(?: [A-Z][\w']*){1,3}:(?:\s|$)|[A-Z][\w']*:\s*$)")
BEFORE, AFTER = re.compile(r" (?=[,.;:!?)\]])"), re.compile(r"(?<=[(\[]) ")


class Turn(NamedTuple):
    speaker: str
    words: tuple[str, ...]


def words_of(text: str) -> tuple[str, ...]:
    """The words and marks of a text, in lower case."""
    return tuple(WORD.findall(composed(text).replace("’", "'").lower()))


def text_of(words: Sequence[str]) -> str:
    """The words as a person reads them, with marks at the words that they follow."""
    return AFTER.sub("", BEFORE.sub("", " ".join(words)))


def turns_of(text: str, name: str) -> list[Turn]:
    """The turns of a play, or of a part of one. A speaker without words has no turn.

    Raises:
        InvalidInput: a turn that begins with no speaker; it names its beginning.
    """
    found = []
    for block in re.split(r"\n\s*\n", text.strip()):
        first, _, rest = block.strip().partition("\n")
        if not SPEAKER.fullmatch(first.strip()):
            raise InvalidInput(
                f"{name}: expected turns that begin with a line such as 'ROMEO:' and are separated by empty lines; one "
                f"begins with {first.strip()[:60]!r}"
            )
        if words := words_of(rest):
            found.append(Turn(first.strip().removesuffix(":"), words))
    return found


def dialogues_of(turns: Sequence[Turn], apart: int) -> list[list[Turn]]:
    """Cut the turns where those before and those after have no speaker in common, as between scenes.

    Args:
        apart: turns before and after that are compared.
    """
    speakers = [turn.speaker for turn in turns]
    cuts = [
        place for place in range(1, len(turns))
        if not set(speakers[max(0, place - apart) : place]) & set(speakers[place : place + apart])
    ]  # fmt: skip
    return [list(turns[first:end]) for first, end in pairwise([0, *cuts, len(turns)]) if end > first]


def play(path: Path | None, apart: int) -> dict[str, list[list[Turn]]]:
    """The dialogues of each split: the last tenth of the text is the test, the fortieth before it validation; each
    begins at a turn.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is no play, or too short.
    """
    text = embedded() if path is None else read_files((path,))
    name, ends = "the text" if path is None else str(path), list[int]()
    for span in parts(len(text)).values():
        found = re.compile(r"\n\s*\n").search(text, span.stop - 1)
        ends.append(found.end() if found else len(text))
    result = {}
    for split, (first, end) in zip(parts(len(text)), pairwise([0, *ends]), strict=True):
        result[split] = dialogues_of(turns_of(text[first:end], name), apart) if text[first:end].strip() else []
        if not result[split]:
            raise InvalidInput(f"{name}: too short to be split; its {split} part has no turn")
    return result


def typed(text: str) -> tuple[list[tuple[str, ...]], bool]:
    """The turns that a user typed, one a line or between slashes, and whether names of speakers were left out."""
    lines = [line for line in re.split(r"\n| / ", text) if line.strip()]
    named = any(NAME.match(line) for line in lines)
    return [words for line in lines if (words := words_of(NAME.sub("", line, count=1)))], named
