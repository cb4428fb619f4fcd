"""Multi30k by path and from the hub, and what is said when a language is not there or the order is another."""

import gzip
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from saccade.core.errors import InvalidInput, MissingExtra, NotFound
from saccade.tasks.translation import TranslationConfig, TranslationTask
from saccade.tasks.translation.multi30k import multi30k_pairs
from saccade.tasks.translation.parallel_text import check_order, languages_of

DATA = Path(os.environ.get("SACCADE_DATA", "nowhere")) / "multi30k"
GERMAN, ENGLISH = "ein Mann liest .", "a man reads ."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for stem in ("train", "val", "test_2016_flickr"):
        (tmp_path / f"{stem}.de").write_text(f"{GERMAN}\n" * 3, encoding="utf-8")
        with gzip.open(tmp_path / f"{stem}.en.gz", "wt", encoding="utf-8") as file:
            file.write(f"{ENGLISH}\n" * 3)
    return tmp_path


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_plain_and_gzip_files_of_a_folder(folder: Path, split: str) -> None:
    assert multi30k_pairs(split, ("de", "en"), folder) == [(GERMAN, ENGLISH)] * 3
    assert multi30k_pairs(split, ("en", "de"), folder) == [(ENGLISH, GERMAN)] * 3


def test_a_task_reads_and_describes_it(folder: Path) -> None:
    task = TranslationTask(
        TranslationConfig(corpus="multi30k", folder=folder, vocabulary_size=20, shared_vocabulary=True)
    )
    assert [example.target_text for example in task.examples("test")] == [ENGLISH] * 3
    assert task.describe()["data"] == "Multi30k de-en, test 2016"
    assert task.source is task.target


def test_what_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(NotFound, match=r"no train\.xx or train\.xx\.gz; there are: de, en"):
        multi30k_pairs("train", ("xx", "en"), folder)
    with pytest.raises(NotFound, match="there is no such folder"):
        multi30k_pairs("train", ("de", "en"), folder / "none")


def test_the_same_language_twice_and_options_of_what_was_not_chosen_are_refused() -> None:
    with pytest.raises(ValidationError, match="must be two"):
        TranslationConfig(corpus="multi30k", languages=("de", "de"))
    with pytest.raises(ValidationError, match="languages is set, but corpus is 'tatoeba'"):
        TranslationConfig(languages=("en", "de"))


def stand_in(load_dataset: Any) -> ModuleType:
    module: Any = ModuleType("datasets")
    module.load_dataset = load_dataset
    return module  # type: ignore[no-any-return]


class Columns(dict[str, list[str]]):
    @property
    def column_names(self) -> list[str]:
        return list(self)


def test_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, split: str) -> Columns:
        asked.append((name, split))
        return Columns(de=[f" {GERMAN}"], en=[ENGLISH])

    monkeypatch.setitem(sys.modules, "datasets", stand_in(load_dataset))
    assert multi30k_pairs("validation", ("en", "de"), None) == [(ENGLISH, GERMAN)]
    assert asked == [("bentrevett/multi30k", "validation")]
    with pytest.raises(InvalidInput, match="no 'fr'; there are: de, en"):
        multi30k_pairs("train", ("fr", "en"), None)


def test_a_hub_out_of_reach_and_a_missing_library_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str, split: str) -> None:
        raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "datasets", stand_in(load_dataset))
    with pytest.raises(InvalidInput, match=r"ConnectionError: no route\); give a folder that holds it: --task.folder"):
        multi30k_pairs("train", ("de", "en"), None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"saccade\[hub\]"):
        multi30k_pairs("train", ("de", "en"), None)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train.de", "train.en"], ("de", "en")),
        (["a.b/train.de.gz", "train.en"], ("de", "en")),
        (["train.tsv"], None),
        (["train.txt", "other.txt"], None),
        (["train", "other.en"], None),
    ],
)
def test_languages_of_file_names(names: list[str], expected: tuple[str, str] | None) -> None:
    assert languages_of([Path(name) for name in names]) == expected


def test_files_named_in_another_order_are_refused(folder: Path) -> None:
    train = tuple(folder / name for name in ("train.de", "train.en.gz"))
    crossed = tuple(folder / name for name in ("val.en.gz", "val.de"))
    message = "go from en to de, but training goes from de to en: --task.validation"
    with pytest.raises(InvalidInput, match=message):
        TranslationTask(TranslationConfig(train=train, validation=crossed, test=crossed, vocabulary_size=20))
    with pytest.raises(InvalidInput, match=message):
        TranslationTask(
            TranslationConfig(corpus="multi30k", folder=folder, validation=crossed, vocabulary_size=20)
        ).examples("validation")


def test_text_in_another_order_is_refused_and_a_copy_is_not() -> None:
    train = [(GERMAN, ENGLISH)]
    check_order(train, [("ein Hund .", "a dog .")], "test")
    check_order([("a b", "a b")], [("b a", "b a")], "test")
    check_order(train, [("un homme", "xyz")], "test")
    with pytest.raises(InvalidInput, match="the test pairs seem to go from the target language"):
        check_order(train, [("a man runs", "ein Mann rennt")], "test")


@pytest.mark.skipif(not DATA.is_dir(), reason="Multi30k is not here (SACCADE_DATA names the folder that holds it)")
@pytest.mark.parametrize("language", ["en", "fr", "cs"])
def test_the_real_files(language: str) -> None:
    sizes = {split: len(multi30k_pairs(split, ("de", language), DATA)) for split in ("train", "validation", "test")}
    assert sizes == {"train": 29_000, "validation": 1_014, "test": 1_000}
