"""Pairs that are no translations: lines of Python and what they print, captions and another; how they are judged."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from saccade.core.errors import InvalidInput, NotFound
from saccade.tasks.metrics import rouge_l
from saccade.tasks.translation import TranslationConfig, TranslationTask
from saccade.tasks.translation.captions import central
from saccade.tasks.translation.programs import programs
from saccade.tasks.translation.score import JUDGES, Judged
from saccade.tasks.translation.vocabulary import Vocabulary

PROGRAMS: dict[str, Any] = {"corpus": "programs", "vocabulary": "character", "metric": "exact", "programs": 500}


def printed(line: str) -> str:
    """What Python itself prints."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(line, {})
    return said.getvalue().removesuffix("\n")


@pytest.fixture(scope="module")
def task() -> TranslationTask:
    return TranslationTask(TranslationConfig(**PROGRAMS))


class TestPrograms:
    def test_python_prints_the_target_of_every_line(self) -> None:
        for digits in (2, 3):
            for pairs in programs(300, digits, 2).values():
                for line, target in pairs:
                    assert printed(line) == target
                    assert max(map(len, re.findall(r"\d+", line))) <= digits

    def test_no_line_is_in_two_splits_and_none_is_twice(self) -> None:
        found = programs(2000, 3, 1)
        lines = [line for pairs in found.values() for line, _ in pairs]
        assert {split: len(pairs) for split, pairs in found.items()} == {
            "train": 2000,
            "validation": 1000,
            "test": 1000,
        }
        assert len(set(lines)) == len(lines)

    def test_all_forms_signs_and_answers_below_zero_occur(self) -> None:
        lines = programs(500, 3, 1)["train"]
        named = r"(\w) = \d+; print"
        for form in (r"print\(\d+ [+-] \d+\)", named + r"\(\1 [+-] \d+\)", named + r"\(\d+ [+-] \1\)"):
            share = sum(re.fullmatch(form, line) is not None for line, _ in lines) / len(lines)
            assert 0.25 < share < 0.42
        assert 0.15 < sum(target.startswith("-") for _, target in lines) / len(lines) < 0.35

    def test_the_seed_decides(self) -> None:
        assert programs(100, 3, 1) == programs(100, 3, 1)
        assert programs(100, 3, 1)["test"] != programs(100, 3, 2)["test"]

    def test_of_numbers_of_one_digit_half_of_the_lines_are_drawn(self) -> None:
        found = programs(100_000, 1, 1)
        assert sum(map(len, found.values())) == 10 * 10 * (1 + 2 * 26)
        assert len(found["test"]) == 1000

    def test_other_fields_of_a_corpus_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="folder is set, but corpus is 'programs'"):
            TranslationConfig(corpus="programs", folder=tmp_path)
        with pytest.raises(ValueError, match="corpus is 'captions', which is English"):
            TranslationConfig(corpus="captions", languages=("en", "fr"))


class TestCharacters:
    def test_every_character_is_a_symbol(self, task: TranslationTask) -> None:
        line, target = "k = 87; print(412 - k)", "325"
        example = task.read(line)
        assert "".join(task.source.pieces(example.source[:-1])).replace("▁", " ") == line
        assert task.target.pieces(task.target.encode(target)) == list(target)
        assert task.decode(task.target.encode(target)) == target
        assert [line[start:stop] for start, stop in task.source.spans(line)] == list(line)

    def test_a_letter_with_its_marks_is_one_and_spaces_return(self) -> None:
        vocabulary = Vocabulary.learn(["e\u0301 n\u0303 q\u0303", "a b"], "character", 100)
        assert vocabulary.pieces(vocabulary.encode("q\u0303 a")) == ["q\u0303", "▁", "a"]
        assert vocabulary.decode(vocabulary.encode("a b a")) == "a b a"

    def test_unknown_characters_are_told(self, task: TranslationTask) -> None:
        assert task.notes(task.read("print(2 * 3)")) == ["not in the vocabulary: *"]
        short = Vocabulary.learn(["ab"], "character", 100)
        assert short.unknown("a b") == ["a space"]


class TestExact:
    def test_the_share_of_answers_that_are_right_to_the_last_character(self, task: TranslationTask) -> None:
        examples = task.examples("test")
        answers = [example.target for example in examples]
        assert (task.metric, task.unit, task.direction) == ("exact", "%", "max")
        assert task.score(answers, examples).figures["exact"].value == 100
        answers[:50] = [answer[:-1] for answer in answers[:50]]
        score = task.score(answers, examples)
        assert score.figures["exact"].value == 95
        series = score.series["by_length"]
        assert sum(series.counts) == len(examples)
        assert sum(n * y for n, y in zip(series.counts, series.y, strict=True)) == pytest.approx(95 * len(examples))

    def test_case_counts_unless_all_is_lower_case(self) -> None:
        for lowercase, expected in ((False, 0), (True, 100)):
            judged = Judged(["abc"], ["x"], ["ABC"], [0])
            found = JUDGES["exact"](judged, TranslationConfig(metric="exact", lowercase=lowercase))
            assert found.figures["exact"].value == expected

    def test_another_metric_can_be_asked_of_a_run(self, task: TranslationTask) -> None:
        other = TranslationTask(TranslationConfig(**PROGRAMS | {"metric": "bleu"}))
        other.check_trained(task.config)
        assert other.metric == "bleu"


FLICKR = {
    "Flickr_8k.trainImages.txt": "a.jpg\nb.jpg\n",
    "Flickr_8k.devImages.txt": "c.jpg\n",
    "Flickr_8k.testImages.txt": "d.jpg\n",
    "Flickr8k.token.txt": "".join(
        f"{name}.jpg#{number}\tA {name} is {word} .\n"
        for name in "abcd"
        for number, word in enumerate(("here", "there", "nowhere"))
    ),
}


@pytest.fixture
def flickr(tmp_path: Path) -> Path:
    for name, text in FLICKR.items():
        (tmp_path / name).write_text(text)
    return tmp_path


class TestCaptions:
    def test_each_caption_is_written_in_training_and_the_last_in_the_test(self, flickr: Path) -> None:
        task = TranslationTask(TranslationConfig(corpus="captions", folder=flickr, metric="rouge-l"))
        assert task.pairs["test"] == [("a d is here | a d is there", "a d is nowhere")]
        assert task.pairs["validation"] == [("a c is here | a c is there", "a c is nowhere")]
        assert task.pairs["train"][:2] == [
            ("a a is here | a a is there", "a a is nowhere"),
            ("a b is here | a b is there", "a b is nowhere"),
        ]
        assert sorted(target for source, target in task.pairs["train"]) == sorted(
            f"a {name} is {word}" for name in "ab" for word in ("here", "there", "nowhere")
        )
        assert all(target not in source.split(" | ") for source, target in task.pairs["train"])
        assert task.describe()["data"].startswith("Flickr8k")

    def test_rouge_and_the_two_copies_beside_it(self, flickr: Path) -> None:
        task = TranslationTask(TranslationConfig(corpus="captions", folder=flickr, metric="rouge-l", vocabulary="word"))
        examples = task.examples("test")
        figures = task.score([task.target.encode("a d is nowhere")], examples).figures
        assert task.metric == "rouge_l"
        assert figures["rouge_l"].value == 75  # "d" is not in the vocabulary
        assert figures["first_copied"].value == rouge_l(["a d is here"], [["a d is nowhere"]])
        assert figures["central_copied"].value == figures["first_copied"].value  # the first of two as central

    def test_the_central_text_is_most_like_the_others(self) -> None:
        assert central(["a cat", "a dog runs there", "the dog runs", "a dog runs"]) == "a dog runs"
        assert central(["one", "two"]) == "one"
        assert central(["only"]) == "only"

    def test_flickr_has_the_fixed_points_of_the_task(self, real_data: Any) -> None:
        folder = real_data("flickr8k")
        task = TranslationTask(
            TranslationConfig(corpus="captions", folder=folder, metric="rouge-l", vocabulary="word", limit=1000)
        )
        examples = task.examples("test")
        assert len(examples) == 1000
        figures = task.score([example.target for example in examples], examples).figures
        assert figures["first_copied"].value == pytest.approx(29.6, abs=0.1)
        assert figures["central_copied"].value == pytest.approx(35.1, abs=0.1)

    def test_bad_folders_are_one_sentence(self, flickr: Path, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"expected the folder of Flickr8k's captions: type --task\.folder"):
            TranslationTask(TranslationConfig(corpus="captions"))
        with pytest.raises(NotFound, match="there is no such folder"):
            TranslationTask(TranslationConfig(corpus="captions", folder=tmp_path / "none"))
        (flickr / "Flickr_8k.trainImages.txt").write_text("z.jpg\n")
        with pytest.raises(InvalidInput, match=r"z\.jpg needs at least two captions"):
            TranslationTask(TranslationConfig(corpus="captions", folder=flickr))
        (flickr / "Flickr8k.token.txt").unlink()
        with pytest.raises(NotFound, match="expected the text files of Flickr8k"):
            TranslationTask(TranslationConfig(corpus="captions", folder=flickr))


def test_old_configurations_keep_their_metric() -> None:
    config = TranslationConfig()
    assert (config.metric, config.corpus, config.vocabulary) == ("bleu", "tatoeba", "bpe")
