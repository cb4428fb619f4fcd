"""Dialogues of a play: turns, cuts, vocabulary, other contexts, scores and their intervals."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Learning, Legible, Readable, Sized, Task
from saccade.tasks.bootstrap import interval
from saccade.tasks.dialogue import END, PAD, START, UNKNOWN, DialogueConfig, DialogueTask, Judged
from saccade.tasks.dialogue.score import score
from saccade.tasks.dialogue.task import others_of
from saccade.tasks.dialogue.turns import Turn, dialogues_of, play, text_of, turns_of, typed, words_of

WHOLE = DialogueTask(DialogueConfig())


def task(**options: Any) -> DialogueTask:
    return DialogueTask(DialogueConfig(**{"limit": 8, **options}))


def own(path: Path, blocks: int = 80) -> Path:
    names = ["AB" if number < blocks // 2 else "CD" for number in range(blocks)]
    turns = [f"{name}{number % 2}:\nWe say {number % 3} to it.\n" for number, name in enumerate(names)]
    path.write_text("\n".join(turns))
    return path


def test_it_is_a_task_with_abilities() -> None:
    for ability in (Task, Sized, Legible, Readable, Learning):
        assert isinstance(WHOLE, ability)


class TestTurns:
    def test_words_and_marks(self) -> None:
        assert words_of("'Tis well-known, Sir; thou’rt WRONG!") == (
            "'tis", "well-known", ",", "sir", ";", "thou'rt", "wrong", "!",
        )  # fmt: skip
        assert text_of(["is't", "a", "verdict", "?", "(", "no", ")", "!"]) == "is't a verdict? (no)!"

    def test_a_play(self) -> None:
        found = turns_of("\nROMEO:\nI dreamt\na dream.\n\nAll:\n\n \nFirst Citizen:\nAnd so did I.\n", "x")
        assert found == [
            Turn("ROMEO", ("i", "dreamt", "a", "dream", ".")),
            Turn("First Citizen", ("and", "so", "did", "i", ".")),
        ]

    def test_a_dialogue_ends_where_no_speaker_goes_on(self) -> None:
        def cut(speakers: str, apart: int) -> list[str]:
            turns = [Turn(one, ("x",)) for one in speakers]
            return ["".join(turn.speaker for turn in part) for part in dialogues_of(turns, apart)]

        assert cut("ababcdcd", 2) == ["abab", "cdcd"]
        assert cut("ababcacdcc", 2) == ["ababcacdcc"]
        assert cut("abcabc", 3) == ["abcabc"]
        assert cut("abccba", 1) == ["a", "b", "cc", "b", "a"]
        assert cut("", 2) == []

    def test_shakespeare(self) -> None:
        found = play(None, 4)
        assert found["train"][0][0] == Turn(
            "First Citizen", ("before", "we", "proceed", "any", "further", ",", "hear", "me", "speak", ".")
        )
        counts = {split: (len(one), sum(map(len, one))) for split, one in found.items()}
        assert counts == {"train": COUNTS[0], "validation": COUNTS[1], "test": COUNTS[2]}
        assert sum(turns for _, turns in counts.values()) == 7222 - 125, "a name without words is no turn"
        assert all(turn.words for one in found["test"] for turn in one)

    def test_what_a_user_types(self) -> None:
        turns = [("speak", ",", "speak", "."), ("who", "?"), ("i", ".")]
        assert typed("Speak, speak. / Who?\nROMEO: I.") == (turns, True)
        assert typed("Come: let us go") == ([("come", ":", "let", "us", "go")], False)
        alone = "ROMEO:\nSpeak, speak.\n\nFirst Citizen:\nWho?\nJuliet:\nI."
        assert typed(alone) == (turns, True)
        assert typed("First Citizen: speak") == ([("speak",)], True)


COUNTS = ((269, 5990), (12, 187), (32, 920))


class TestTask:
    def test_turns_have_start_and_end_and_are_cut(self) -> None:
        made = task(longest=3)
        [four] = made.read("we are not so").turns
        assert four == (START, *(made.numbers[word] for word in ("we", "are", "not")))
        assert made.read("we are not").turns[0][-1] == END
        assert made.size(made.read("we are not / we are not so")) == (4 + 3, 4 + 3)

    def test_the_vocabulary_is_that_of_training(self, tmp_path: Path) -> None:
        assert min(len(word) for word in WHOLE.words) > 0
        again = task(fewest=1)
        assert set(task(fewest=2).words) < set(again.words)
        assert UNKNOWN in {symbol for one in WHOLE.examples("test") for turn in one.turns for symbol in turn}
        WHOLE.save(tmp_path)
        loaded = DialogueTask(DialogueConfig(), tmp_path)
        assert loaded.words == WHOLE.words
        loaded.check_trained(DialogueConfig())

    def test_a_batch(self) -> None:
        made = task()
        examples = made.examples("train")[:3]
        batch = made.collate(examples)
        for row, one in enumerate(examples):
            for place, turn in enumerate(one.turns):
                symbols = batch.turns[row, place].tolist()
                assert tuple(symbols[: len(turn)]) == turn
                assert set(symbols[len(turn) :]) <= {PAD}
            assert not batch.turns[row, len(one.turns) :].any()
        assert made.collate(examples, object()).others is None

    def test_other_turns_are_of_other_dialogues(self) -> None:
        sizes = (3, 1, 7, 2)
        said = [tuple((START, 100 * row + place, END) for place in range(size)) for row, size in enumerate(sizes)]
        for row, found in enumerate(others_of(said, random.Random(1))):
            assert not set(found) & set(said[row])
            assert len(found) == min(len(said[row]), sum(map(len, said)) - len(said[row]))
        assert others_of(said[:1], random.Random(1)) == [()]
        for one in WHOLE.examples("test"):
            assert len(one.others) == len(one.turns)

    def test_a_play_of_ones_own(self, tmp_path: Path) -> None:
        made = DialogueTask(DialogueConfig(file=own(tmp_path / "own.txt")))
        assert [len(made.examples(split)) for split in ("train", "validation", "test")] == [2, 2, 1]
        assert made.describe()["turns"] == {"train": 70, "validation": 2, "test": 8}
        assert made.describe()["data"] == "own.txt"

    def test_what_a_user_reads(self) -> None:
        example = WHOLE.read("ROMEO: Good morrow, cousin.\nIs the day so Schwarzenegger?")
        assert WHOLE.notes(example) == [
            "names of speakers are not read", "not in the vocabulary, and read as unknown: schwarzenegger",
        ]  # fmt: skip
        assert example.typed
        assert WHOLE.said(example.turns[0]) == "good morrow, cousin."
        assert WHOLE.decode(Judged((), answer=example.turns[0][1:-1])) == "good morrow, cousin."
        assert WHOLE.decode(Judged((1.0, 2.5))) == "3.5 nats"
        for raw in WHOLE.examples_to_type(3):
            assert len(WHOLE.read(raw).turns) == 3

    def test_bad_input_is_refused_in_a_sentence(self, tmp_path: Path) -> None:
        cases: list[Any] = [("  \n / ", "no word"), ("xyzzy / plugh", "no word of the dialogue"), (b"x", "not a file"),
                            ("a" * 20_001, "at most 20,000")]  # fmt: skip
        for raw, why in cases:
            with pytest.raises(InvalidInput, match=why):
                WHOLE.read(raw)
        assert len(WHOLE.read("speak").turns) == 1, "a dialogue of one turn is one"
        path = tmp_path / "own.txt"
        for text, why in (
            ("", "the file is empty"),
            ("ROMEO:\nI.\n", "expected at least 100 characters"),
            ("Once upon a time there was no speaker. " * 9, "one begins with 'Once upon a time"),
            ("ROMEO:\n" + "I dreamt a dream. " * 40, "too short to be split; its validation part has no turn"),
        ):
            path.write_text(text)
            with pytest.raises(InvalidInput, match=why):
                DialogueTask(DialogueConfig(file=path))
        with pytest.raises(NotFound):
            DialogueTask(DialogueConfig(file=tmp_path / "none.txt"))
        with pytest.raises(InvalidInput, match="no split 'dev'"):
            WHOLE.examples("dev")


class TestScore:
    counts = ((2, 3), (5,), (1, 1, 8))
    predictions = (
        Judged((4.0, 6.0), (4.0, 9.0), (4.0, 5.0)),
        Judged((11.0,), (11.0,), (11.0,)),
        Judged((1.0, 2.0, 20.0), (1.0, 2.5, 21.0), (1.0, 2.0, 30.0)),
    )

    def test_perplexity_and_gains_are_over_words(self) -> None:
        figures: Any = score(self.predictions, self.counts, 4, 1).figures
        assert figures["perplexity"].value == pytest.approx(math.exp(44 / 20))
        assert figures["perplexity_without"].value == pytest.approx(math.exp(48.5 / 20))
        assert figures["gain_without"].value == pytest.approx(4.5 / 20)
        assert figures["gain_shuffled"].value == pytest.approx((10 - 1) / 20)
        assert figures["unknown"].value == 20
        assert figures["gain_without_low"].value <= 4.5 / 20 <= figures["gain_without_high"].value

    def test_without_context_there_are_no_gains(self) -> None:
        found = score([Judged((3.0,))], [(2,)], 0, 1)
        assert set(found.figures) == {"perplexity", "nats", "words", "unknown"}
        assert not found.series

    def test_gains_by_the_number_of_turns_before(self) -> None:
        series = score(self.predictions, self.counts, 0, 1).series["gain_without_by_place"]
        assert list(series.x) == ["1", "2"]
        assert list(series.y) == pytest.approx([(3 + 0.5) / 4, 1 / 8])
        assert list(series.counts) == [2, 1]

    def test_the_interval_is_that_of_resampled_dialogues(self) -> None:
        found = score(self.predictions, self.counts, 0, 1).figures
        gains = [sum(one.without) - sum(one.nats) for one in self.predictions]
        rows = np.array([gains, [sum(own) for own in self.counts]]).T
        low, high = interval(rows, lambda sums: float(sums[0] / sums[1]), 1)
        assert (found["gain_without_low"].value, found["gain_without_high"].value) == (low, high)
        assert low < high
