import gzip
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Learning, Legible, Readable, Sized, Task
from saccade.tasks.monolingual import MonolingualConfig, MonolingualTask, Surprise

LINES = [f"word{place} is a word ." for place in range(100)]


@pytest.fixture(scope="module")
def task() -> MonolingualTask:
    return MonolingualTask(MonolingualConfig())


def of(folder: Path, lines: list[str], **fields: Any) -> MonolingualTask:
    (folder / "text.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return MonolingualTask(MonolingualConfig(train=(folder / "text.txt",), **fields))


def test_the_embedded_sentences_are_tatoebas(task: MonolingualTask) -> None:
    assert task.describe()["sentences"] == {"train": 28473, "validation": 1000, "test": 1000}
    assert not set(task.sentences["train"]) & set(task.sentences["test"])
    for ability in (Task, Sized, Legible, Readable, Learning):
        assert isinstance(task, ability)


def test_symbols_stand_between_marks_and_rare_words_are_unknown(task: MonolingualTask) -> None:
    example = task.read("I don’t zzq you.")
    assert example.words == ("I", "do", "n't", "zzq", "you", ".")
    names = [task.symbols[symbol] for symbol in example.symbols]
    assert names == ["<begin>", "I", "do", "n't", "<unknown>", "you", ".", "<end>"]
    batch = task.collate([example, task.read("Go")])
    assert batch.words == (example.words, ("Go",))
    assert batch.mask.sum(1).tolist() == [8, 3]
    assert not batch.symbols[1, 3:].any()


def test_perplexity_counts_each_word_and_one_mark_a_sentence(task: MonolingualTask) -> None:
    examples = [task.read("I go"), task.read("Zzq")]
    ours = [Surprise(("I", "go"), (1.0, 2.0, 3.0), (0.5, 0.5, 0.5)), Surprise(("Zzq",), (4.0, 0.0), (1.0, 0.0))]
    figures = task.score(ours, examples).figures
    assert figures["forward_perplexity"].value == pytest.approx(math.exp(10 / 5))
    assert figures["backward_perplexity"].value == pytest.approx(math.exp(2.5 / 5))
    assert figures["perplexity"].value == pytest.approx((math.exp(2) + math.exp(0.5)) / 2)
    assert figures["unknown"].value == pytest.approx(100 / 3)
    assert task.decode(ours[0]) == "perplexity 7.4 forward, 1.6 backward: I 2.7/1.6, go 7.4/1.6"
    far = Surprise(("I",), (900.0, 900.0), (0.0, 7.0))
    assert task.decode(far) == "perplexity 1.0e+304 forward, 33.1 backward: I 1.0e+304/1,097"


def test_your_own_text_is_held_out_by_sentence(tmp_path: Path) -> None:
    task = of(tmp_path, [*LINES, "", "  ", *LINES, "☃"])
    found = task.sentences
    assert {split: len(set(rows)) for split, rows in found.items()} == {"train": 92, "validation": 5, "test": 4}
    assert not set(found["train"]) & (set(found["validation"]) | set(found["test"]))
    assert not set(found["validation"]) & set(found["test"])
    assert of(tmp_path, LINES).sentences == of(tmp_path, LINES).sentences
    assert len(of(tmp_path, LINES, fewest=1).symbols) > len(of(tmp_path, LINES, fewest=3).symbols)


def test_files_for_each_split_are_read_as_they_are(tmp_path: Path) -> None:
    for name, line in (("b", "one two"), ("c", "three :) #x")):
        (tmp_path / name).write_bytes(gzip.compress(f"{line}\n".encode()))
    (tmp_path / "a").write_bytes("\ufefffour five\r\n\r\nsix\r\n".encode())
    paths: dict[str, Any] = {
        "train": (tmp_path / "a", tmp_path / "b"),
        "validation": tmp_path / "b",
        "test": tmp_path / "c",
    }
    task = MonolingualTask(MonolingualConfig(**paths))
    assert task.sentences["train"] == [("four", "five"), ("six",), ("one", "two")]
    assert task.sentences["test"] == [("three", ":", ")", "#x")]
    assert MonolingualTask(MonolingualConfig(tokenized=True, **paths)).sentences["test"] == [("three", ":)", "#x")]


def test_a_word_that_looks_like_a_mark_is_none(tmp_path: Path) -> None:
    task = of(tmp_path, [*LINES, "<end> <unknown>", "<unknown> it"], tokenized=True, fewest=1)
    begin, one, other, end = task.read("<end> <unknown>").symbols.tolist()
    assert (begin, end) == (1, 2)
    assert min(one, other) > 2


def test_long_lines_are_read_in_parts(tmp_path: Path) -> None:
    rows = of(tmp_path, [*LINES, "a b c d e f g"], longest=3, validation=tmp_path / "text.txt",
              test=tmp_path / "text.txt").sentences["train"]  # fmt: skip
    assert rows[-3:] == [("a", "b", "c"), ("d", "e", "f"), ("g",)]


def test_notes_say_what_a_model_cannot_know(task: MonolingualTask) -> None:
    assert task.notes(task.read("I go.")) == []
    long = "y" + "e" * 60 + "s"
    assert task.notes(task.read(f"I ☃ {long}")) == [
        f"predicted as the unknown word: ☃, {long[:29]}…",
        "not among the characters of the training: ☃",
        f"only the first 48 bytes are read of {long[:29]}…",
    ]


def test_bad_input_is_refused_in_a_sentence(task: MonolingualTask, tmp_path: Path) -> None:
    cases: list[tuple[Any, str]] = [
        ("  ", "has no word"), (b"x", "not a file"), ("a" * 20_001, "at most 20,000"),
        ("a " * 101, r"at most 100 words, got 101: type one sentence at a time, or --task.longest 101"),
    ]  # fmt: skip
    for raw, why in cases:
        with pytest.raises(InvalidInput, match=why):
            task.read(raw)
    with pytest.raises(InvalidInput, match="at least 60 different sentences, of which some are held out, not 10"):
        of(tmp_path, LINES[:10])
    with pytest.raises(InvalidInput, match=r"text\.txt: the file has no word"):
        of(tmp_path, ["", " "])
    with pytest.raises(NotFound, match="there is no such file"):
        MonolingualTask(MonolingualConfig(train=(tmp_path / "none",)))
    with pytest.raises(ValidationError, match="but not train"):
        MonolingualConfig(test=tmp_path / "text.txt")
    with pytest.raises(InvalidInput, match="there is no split 'dev'"):
        task.examples("dev")


def test_what_was_learned_is_saved(task: MonolingualTask, tmp_path: Path) -> None:
    task.save(tmp_path)
    again = MonolingualTask(task.config, tmp_path)
    assert (again.symbols, again.alphabet) == (task.symbols, task.alphabet)
    assert torch.equal(again.read("I go").symbols, task.read("I go").symbols)
