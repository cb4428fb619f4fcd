"""Levels of a platform game from a seeded grammar, column by column, and whether they can be walked to the end.

A column is a line of ten tiles from the top down: X solid, P a pipe, o a coin, | the flag at the end, - air. A figure
walks, and jumps three tiles high, so that it crosses gaps of five columns. A tower of six can only be climbed from the
platform three columns before it: what stands before it must be remembered over columns that look like any others.
"""

import itertools
import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from saccade.core.errors import InvalidInput
from saccade.core.task import Figure, Score
from saccade.tasks.text.task import Example, TextTask, Written

HIGH = 10
JUMP = 3
SOLID = "XP"
FLAG = "-" * 3 + "|" * 6 + "X"
GAP = "-" * HIGH
PLATFORM = "-" * 6 + "X" + "-" * 2 + "X"  # its top is three tiles above the ground
LEVELS, SAMPLES, LONGEST = 1500, 200, 200
"""Generated levels, samples that are walked, and the columns after which a sample must have ended."""
SHORTEST = 34
"""Columns of the shortest level of the grammar; an end that comes earlier is none."""


def tower(height: int, tile: str = "X") -> str:
    """A column of solid tiles of this height on the ground."""
    return "-" * (HIGH - 1 - height) + tile * height + "X"


def plain(draw: random.Random) -> str:
    """Ground, sometimes with a coin above it."""
    coin = draw.choice((0, 0, 0, 1, 2))
    return "-" * (HIGH - 1) + "X" if not coin else "-" * (HIGH - 1 - coin) + "o" + "-" * (coin - 1) + "X"


def level(draw: random.Random) -> list[str]:
    """The columns of one level, the flag last."""
    columns = [plain(draw) for _ in range(3)]
    for _ in range(draw.randint(6, 9)):
        kind = draw.choice(("gap", "pipe", "stairs", "tower", "tower"))
        if kind == "gap":
            columns += [GAP] * draw.randint(3, 5)
        elif kind == "pipe":
            columns += [tower(draw.randint(1, 3), "P")] * 2
        elif kind == "stairs":
            columns += [tower(height) for height in (1, 2, 3)]
        else:
            columns += [PLATFORM] * 2 + [plain(draw) for _ in range(2)] + [tower(6)] * draw.randint(1, 2)
        columns += [plain(draw) for _ in range(draw.randint(3, 5))]
    return [*columns, FLAG]


def generated(count: int, seed: int) -> str:
    """Levels one after the other, a line a column."""
    draw = random.Random(f"levels/{seed}")
    return "".join(f"{column}\n" for _ in range(count) for column in level(draw))


def path(columns: Sequence[str]) -> list[tuple[int, int]]:
    """The tiles (column, row) of a shortest way to the last column; [] if there is none.

    The figure starts on the ground of the first column. In each step it moves at most one column. From a solid tile it
    can walk or jump; in the air it rises until its jump is used up, or falls.
    """
    wide = len(columns)

    def free(x: int, y: int) -> bool:
        return 0 <= x < wide and y < HIGH and (y < 0 or columns[x][y] not in SOLID)

    ground = next((y for y in reversed(range(HIGH)) if not free(0, y + 1) and free(0, y)), None)
    if not wide or ground is None:
        return []
    start = (0, ground, 0)  # column, row, rows still to rise
    before: dict[tuple[int, int, int], tuple[int, int, int] | None] = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        x, y, rise = state
        standing = y + 1 < HIGH and not free(x, y + 1)
        if x == wide - 1 and standing:
            found: list[tuple[int, int]] = []
            at: tuple[int, int, int] | None = state
            while at is not None:
                found.append(at[:2])
                at = before[at]
            return found[::-1]
        moves = []
        for step in (1, 0, -1):
            if rise:
                moves.append((x + step, y - 1, rise - 1))
            elif standing:
                moves += [(x + step, y, 0), (x + step, y - 1, JUMP - 1)]
            else:
                moves.append((x + step, y + 1, 0))
        if rise and not free(x, y - 1):  # its head against something: it falls
            moves.append((x, y, 0))
        for one in moves:
            # a diagonal step needs room beside it or above it
            a, b, _ = one
            if one not in before and free(a, b) and b >= -JUMP and (a == x or free(x, b) or free(a, y)):
                before[one] = state
                queue.append(one)
    return []


def trigram_samples(text: str, count: int, seed: int) -> list[list[str]]:
    """Levels drawn from a trigram of columns, which knows how often each column follows two others."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    lines = [FLAG, *text.removesuffix("\n").split("\n")]
    for one, two, three in zip(lines, lines[1:], lines[2:], strict=False):
        counts[one, two][three] += 1
    firsts = Counter(two for one, two in itertools.pairwise(lines) if one == FLAG)
    draw, found = random.Random(f"trigram/{seed}"), []
    for _ in range(count):
        columns = [FLAG, draw.choices(*zip(*firsts.items(), strict=True))[0]]
        while columns[-1] != FLAG and len(columns) <= LONGEST:
            following = counts[columns[-2], columns[-1]]
            columns.append(draw.choices(list(following), list(following.values()))[0])
        found.append(columns[1:])
    return found


def walked(columns: Sequence[str]) -> bool:
    """Whether a sample ends with a flag that can be reached, and not too early."""
    return len(columns) >= SHORTEST and columns[-1] == FLAG and bool(path(columns))


class LevelsTask(TextTask):
    """Levels to be written. The metric is the share of 200 samples that can be walked to the end, in %."""

    metric = "walked"
    direction: Literal["min", "max"] = "max"
    unit = "%"
    accepts: tuple[str, ...] = ("nothing",)

    @cached_property
    def text(self) -> str:
        return generated(LEVELS, self.config.draw)

    def examples(self, split: str) -> Sequence[Example]:
        """In the test, beginnings of 200 samples: the flag of the level before."""
        if split != "test":
            return super().examples(split)
        return [self.read("")._replace(number=number) for number in range(1, SAMPLES + 1)]

    def read(self, raw: str | bytes) -> Example:
        if raw:
            raise InvalidInput("expected no input: levels are written from nothing")
        return Example(self.symbols.encode(FLAG), 0, 0, 0)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        return [""]

    def columns(self, prediction: Written) -> list[str]:
        """The columns of a sample, up to its flag."""
        columns = [self.symbols.names[symbol] for symbol in prediction.symbols[1 : LONGEST + 1]]
        return columns[: columns.index(FLAG) + 1] if FLAG in columns else columns

    def decode(self, prediction: Written) -> str:
        columns = self.columns(prediction)
        if not columns:
            return f"{prediction.nats / math.log(2):.1f} bits"
        number = f"{len(columns)} column{'s' * (len(columns) != 1)}"
        return f"{number}, {'walked to the end' if walked(columns) else 'not to be walked to the end'}"

    def compare(self, example: Example, prediction: Written) -> Mapping[str, str]:
        return {"ours": self.decode(prediction)}

    def score(self, predictions: Sequence[Written], examples: Sequence[Example]) -> Score:
        """The share of samples that are walked, and that of a trigram's samples."""
        through = sum(walked(self.columns(one)) for one in predictions)
        ended = sum(self.columns(one)[-1:] == [FLAG] for one in predictions)
        trigram = trigram_samples(self._training_text, SAMPLES, self.config.draw)
        return Score({
            "walked": Figure(100 * through / max(1, len(predictions)), "%", "levels walked to the end"),
            "ended": Figure(100 * ended / max(1, len(predictions)), "%", "levels with an end"),
            "trigram_walked": Figure(100 * sum(map(walked, trigram)) / SAMPLES, "%", "those of a trigram of columns"),
        })  # fmt: skip

    @cached_property
    def _training_text(self) -> str:
        return self.symbols.decode(self.part("train").tolist())

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "data": f"{LEVELS:,} generated levels"}
