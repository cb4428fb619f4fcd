"""CoNLL files, and entities as conlleval counts them (Tjong Kim Sang & De Meulder 2003, cs/0306050)."""

import lzma
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from saccade.core.errors import InvalidInput
from saccade.core.files import composed, read_lines

DATA = resources.files("saccade.tasks.entities").joinpath("data")
START = "-DOCSTART-"


class Tagged(NamedTuple):
    words: tuple[str, ...]
    tags: tuple[str, ...]


class Span(NamedTuple):
    """An entity: the words from `first` up to, and without, `end`."""

    first: int
    end: int
    kind: str


def parse(lines: Sequence[str], name: str) -> list[Tagged]:
    """The sentences of CoNLL lines: the word is the first column, the tag the last. Tags become BIO: an entity begins
    with B-, also where the file begins it with I-.

    Raises:
        InvalidInput: a line of one column, or a tag that is none; it names the line. No sentence.
    """
    found, words, tags = list[Tagged](), list[str](), list[str]()

    def end() -> None:
        if words:
            found.append(Tagged(tuple(words), as_bio(tags)))
            words.clear()
            tags.clear()

    for row, line in enumerate(lines, start=1):
        columns = composed(line).split("\t") if "\t" in line else composed(line).split()
        if not line.strip() or columns[0] == START:
            end()
            continue
        word, tag = columns[0].strip(), columns[-1].strip()
        if len(columns) < 2 or not word or not (tag == "O" or (tag[:2] in ("B-", "I-") and len(tag) > 2)):
            raise InvalidInput(f"{name}, line {row}: expected a word and a tag, O, B-kind or I-kind, not {line[:60]!r}")
        words.append(word)
        tags.append(tag)
    end()
    if not found:
        raise InvalidInput(f"{name}: the file has no sentence")
    return found


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of a sentence, by conlleval's rule: one begins at B-, and at an I- that does not go on with one of
    the same kind."""
    found: list[Span] = []
    begun: tuple[int, str] | None = None
    for place, tag in enumerate([*tags, "O"]):
        mark, _, kind = tag.partition("-")
        if begun is not None and (mark != "I" or kind != begun[1]):
            found.append(Span(begun[0], place, begun[1]))
            begun = None
        if mark != "O" and begun is None:
            begun = place, kind
    return found


def as_bio(tags: Sequence[str]) -> tuple[str, ...]:
    """The same entities, each beginning with B-."""
    made = ["O"] * len(tags)
    for first, end, kind in spans(tags):
        made[first:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - first - 1)]
    return tuple(made)


def embedded(split: str) -> list[Tagged]:
    """WNUT-17."""
    text = lzma.decompress(DATA.joinpath(f"wnut17.{split}.conll.xz").read_bytes()).decode("utf-8")
    return parse(text.split("\n"), f"wnut17.{split}")


def read(path: Path) -> list[Tagged]:
    return parse(read_lines(path), str(path))
