import random
from itertools import pairwise

import pytest

from saccade.core.errors import InvalidInput
from saccade.tasks.text import LevelsTask, Lines, TextConfig, Written
from saccade.tasks.text.levels import FLAG, GAP, HIGH, PLATFORM, generated, level, path, tower, trigram_samples, walked

GROUND = tower(0)


@pytest.mark.parametrize(("columns", "reached"), [
    ([GROUND] * 3, True),
    ([GROUND, *[GAP] * 5, GROUND], True),
    ([GROUND, *[GAP] * 6, GROUND], False),
    ([GROUND, tower(3), GROUND], True),
    ([GROUND, tower(4), GROUND], False),
    ([GROUND, tower(2), tower(5), GROUND], True),
    ([GROUND, GROUND, tower(6), GROUND], False),
    ([GROUND, PLATFORM, PLATFORM, GROUND, GROUND, tower(6), GROUND], True),
    ([GROUND, PLATFORM, PLATFORM, GROUND, GROUND, GROUND, tower(6), GROUND], False),
    ([GROUND, tower(9), GROUND], False),
    ([GAP, GROUND], False),
])  # fmt: skip
def test_a_figure_jumps_three_tiles_high_and_five_columns_far(columns: list[str], reached: bool) -> None:
    found = path([*columns[:-1], columns[-1]])
    assert bool(found) == reached
    if found:
        assert found[0][0] == 0
        assert found[-1][0] == len(columns) - 1
        for (x, y), (a, b) in pairwise(found):
            assert abs(a - x) <= 1 >= abs(b - y)
            assert b < 0 or columns[a][b] not in "XP"


def test_a_ceiling_stops_a_jump() -> None:
    low = "-" * 6 + "X" + "-" + "-" + "X"  # two tiles of room above the ground
    assert path([low, low, tower(1), GROUND])
    assert not path([low, low, tower(3)[:6] + "XXX" + "X", GROUND])


def test_every_generated_level_can_be_walked() -> None:
    draw = random.Random(5)
    for _ in range(60):
        columns = level(draw)
        assert walked(columns)
        assert not walked(columns[-20:])
        assert all(len(column) == HIGH for column in columns)
        assert columns.count(FLAG) == 1


def test_less_than_half_of_a_trigram_s_levels_can_be_walked() -> None:
    samples = trigram_samples(generated(600, 1), 100, 1)
    assert sum(columns[-1] == FLAG for columns in samples) > 85
    assert sum(map(walked, samples)) < 50


@pytest.fixture(scope="module")
def task() -> LevelsTask:
    return LevelsTask(TextConfig(corpus="levels", symbols=Lines()))


def test_the_test_is_of_200_samples_from_nothing(task: LevelsTask) -> None:
    examples = task.examples("test")
    assert len(examples) == 200
    assert len({one.number for one in examples}) == 200
    assert all(one.scored == 0 for one in examples)
    assert all(one.scored for one in task.examples("validation"))
    with pytest.raises(InvalidInput, match="expected no input"):
        task.read("X")


def test_samples_are_scored_by_whether_they_are_walked(task: LevelsTask) -> None:
    good = task.symbols.encode("\n".join([FLAG, *level(random.Random(1)), *[GROUND] * 3])).tolist()
    bad = task.symbols.encode("\n".join([FLAG, GROUND, tower(6), FLAG])).tolist()
    endless = task.symbols.encode("\n".join([FLAG, *[GROUND] * 5])).tolist()
    predictions = [Written(tuple(one), float("nan")) for one in (good, bad, endless, good)]
    figures = task.score(predictions, task.examples("test")[:4]).figures
    assert figures["walked"].value == 50
    assert figures["ended"].value == 75
    assert isinstance(figures["trigram_walked"].value, float)
    assert figures["trigram_walked"].value < 50
    assert "walked to the end" in task.decode(predictions[0])
    assert task.columns(predictions[0])[-1] == FLAG
