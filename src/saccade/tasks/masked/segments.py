"""How a text, in lines of symbols, is cut into examples.

Pairs (Devlin et al. 2019, arXiv:1810.04805, appendix A.2): lines are gathered until an example is full; a random number
of them are segment A. Segment B is the rest, or, for half of the pairs, lines from elsewhere; then the rest is read
again.
Full sentences (Liu et al. 2019, arXiv:1907.11692, section 4.2): lines are gathered until the next one has no room.
"""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

Lines = Sequence[Sequence[int]]
SHORTER = 0.1  # share of the pairs that are shorter, so that the model sees short texts


class Pair(NamedTuple):
    first: list[int]
    second: list[int]
    follows: bool
    """Whether the second follows the first in the text."""


def pairs(lines: Lines, room: int, draw: random.Random) -> Iterator[Pair]:
    """The pairs of a text of two lines or more.

    Args:
        lines: the symbols of each line.
        room: the most symbols of both segments.
        draw: where the draws come from.
    """
    start = 0
    while start < len(lines) - 1:
        target = draw.randint(2, room) if draw.random() < SHORTER else room
        stop, size = start, 0
        while stop < len(lines) and (size < target or stop < start + 2):
            size += len(lines[stop])
            stop += 1
        middle = draw.randint(start + 1, stop - 1)
        first = joined(lines[start:middle])
        follows = draw.random() < 0.5
        if follows:
            second = joined(lines[middle:stop])
        else:
            other = draw.randrange(len(lines) - 1)
            other += other >= middle  # any line but the one that follows
            second = list[int]()
            while other < len(lines) and (not second or len(second) < target - len(first)):
                second += lines[other]
                other += 1
        cut(first, second, room, draw)
        yield Pair(first, second, follows)
        start = stop if follows else middle


def cut(first: list[int], second: list[int], room: int, draw: random.Random) -> None:
    """Cut the longer segment at a random end until there is room for both."""
    while len(first) + len(second) > room:
        longer = first if len(first) > len(second) else second
        longer.pop(0 if draw.random() < 0.5 else -1)


def full_sentences(lines: Lines, room: int) -> Iterator[list[int]]:
    """The text in examples of whole lines; a line longer than `room` is cut."""
    held: list[int] = []
    for line in lines:
        if held and len(held) + len(line) > room:
            yield held
            held = []
        held = [*held, *line]
        while len(held) > room:
            yield held[:room]
            held = held[room:]
    if held:
        yield held


def joined(lines: Lines) -> list[int]:
    return [symbol for line in lines for symbol in line]
