"""Multi30k by path and from the hub, and errors for missing languages and swapped sides."""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from saccade.core.errors import InvalidInput, MissingExtra, NotFound
from saccade.tasks.translation import TranslationConfig, TranslationTask
from saccade.tasks.translation.folder import folder_pairs
from saccade.tasks.translation.multi30k import from_hub
from saccade.tasks.translation.parallel_text import check_order, embedded_pairs, languages_of

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
    assert folder_pairs(folder, split, ("de", "en")) == [(GERMAN, ENGLISH)] * 3
    assert folder_pairs(folder, split, ("en", "de")) == [(ENGLISH, GERMAN)] * 3


def test_a_task_reads_and_describes_it(folder: Path) -> None:
    task = TranslationTask(
        TranslationConfig(corpus="multi30k", folder=folder, vocabulary_size=20, shared_vocabulary=True)
    )
    assert [example.target_text for example in task.examples("test")] == [ENGLISH] * 3
    assert task.describe()["data"] == "Multi30k de-en, test 2016"
    assert task.source is task.target


def test_missing_files_and_languages_are_reported(folder: Path) -> None:
    with pytest.raises(NotFound, match=r"no train\.xx or train\.xx\.gz; --task\.languages takes two of: de, en"):
        folder_pairs(folder, "train", ("xx", "en"))
    with pytest.raises(NotFound, match="there is no such folder"):
        folder_pairs(folder / "none", "train", ("de", "en"))


def test_a_missing_split_is_held_out_of_the_training_pairs(folder: Path) -> None:
    for name in ("val.de", "val.en.gz", "test_2016_flickr.de", "test_2016_flickr.en.gz"):
        (folder / name).unlink()
    for language in ("de", "en.gz"):
        (folder / f"train.{language}").unlink()
    for language in ("de", "en"):
        (folder / f"train.{language}").write_text("\n".join(f"{language}{i}" for i in range(100)), encoding="utf-8")
    task = TranslationTask(
        TranslationConfig(corpus="folder", folder=folder, languages=("en", "de"), vocabulary="word", vocabulary_size=99)
    )
    pairs = task.pairs
    assert {split: len(found) for split, found in pairs.items()} == {"train": 91, "validation": 5, "test": 4}
    assert len({pair for found in pairs.values() for pair in found}) == 100
    assert all(source[2:] == target[2:] and source.startswith("en") for source, target in pairs["test"])
    assert task.describe()["data"] == f"{folder.name} en-de"


def test_other_files_of_a_folder_are_ignored(folder: Path) -> None:
    (folder / "train.tok.de").write_text("anderes\n" * 3, encoding="utf-8")
    (folder / "train.de.gz").write_bytes(gzip.compress(b"aelteres\n" * 3))
    assert folder_pairs(folder, "train", ("de", "en")) == [(GERMAN, ENGLISH)] * 3


def test_a_folder_without_a_language_or_any_files(folder: Path) -> None:
    (folder / "val.de").unlink()
    with pytest.raises(NotFound, match=r"no val\.de or val\.de\.gz; --task\.languages takes two of: en"):
        folder_pairs(folder, "validation", ("de", "en"))
    assert folder_pairs(folder, "validation", ("fr", "cs")) is None
    (folder / "empty").mkdir()
    with pytest.raises(NotFound, match=r"no train\.de and no train\.en"):
        folder_pairs(folder / "empty", "train", ("de", "en"))


def test_a_corpus_without_its_folder_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"type --task\.folder FOLDER or --task\.train"):
        TranslationTask(TranslationConfig(corpus="folder"))


def test_equal_languages_and_options_of_other_corpora_are_refused() -> None:
    with pytest.raises(ValidationError, match="languages must differ"):
        TranslationConfig(corpus="multi30k", languages=("de", "de"))
    with pytest.raises(ValidationError, match="languages are en de, but corpus is 'tatoeba'"):
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
    assert from_hub("validation", ("en", "de")) == [(ENGLISH, GERMAN)]
    assert asked == [("bentrevett/multi30k", "validation")]
    with pytest.raises(InvalidInput, match="no 'fr'; there are: de, en"):
        from_hub("train", ("fr", "en"))


def test_text_from_the_hub_is_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Columns(de=["u\u0308ber"], en=["cafe\u0301  au lait"])
    monkeypatch.setitem(sys.modules, "datasets", stand_in(lambda name, split: rows))
    assert from_hub("train", ("de", "en")) == [("\u00fcber", "caf\u00e9 au lait")]


def test_an_unreachable_hub_and_a_missing_library_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str, split: str) -> None:
        raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "datasets", stand_in(load_dataset))
    with pytest.raises(
        InvalidInput, match=r"ConnectionError: no route\); name a folder that contains it: --task.folder"
    ):
        from_hub("train", ("de", "en"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"saccade\[hub\]"):
        from_hub("train", ("de", "en"))


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
    message = "translate from en to de, but training from de to en; type --task.validation"
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
    with pytest.raises(
        InvalidInput, match=r"the test pairs seem to translate from the target.*--task\.check-direction false"
    ):
        check_order(train, [("a man runs", "ein Mann rennt")], "test")


def test_words_that_occur_on_both_sides_do_not_suggest_another_direction() -> None:
    """One word per side: the validation words are new, and two of them occur on the other side in training."""
    train = [("find", "found"), ("walk", "walked"), ("ground", "grounded"), ("rent", "rented"), ("see", "saw")]
    check_order(train, [("grind", "ground"), ("rend", "rent"), ("leave", "left")], "validation")
    with pytest.raises(InvalidInput, match="swap the sides"):
        check_order(train, [("found", "find"), ("saw", "see"), ("left", "leave")], "validation")


def test_the_check_of_the_direction_can_be_disabled(tmp_path: Path, folder: Path) -> None:
    right = embedded_pairs("train")[:300]
    for name, pairs in (("train", right), ("test", [pair[::-1] for pair in right])):
        (tmp_path / f"{name}.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    given: dict[str, Any] = {"train": (tmp_path / "train.tsv",), "test": (tmp_path / "test.tsv",)}
    given |= {"validation": given["train"], "vocabulary_size": 300}
    for shared in (False, True):
        options = {**given, "shared_vocabulary": shared}
        with pytest.raises(InvalidInput, match=r"--task\.check-direction false"):
            TranslationTask(TranslationConfig(**options))
        task = TranslationTask(TranslationConfig(**options, check_direction=False))
        assert len(task.examples("test")) == len(right)
        task.save(tmp_path)
        with pytest.raises(InvalidInput, match=r"--task\.check-direction false"):  # as in `evaluate`
            TranslationTask(TranslationConfig(**options), tmp_path).examples("test")
        loaded = TranslationTask(TranslationConfig(**options, check_direction=False), tmp_path)
        assert loaded.examples("test") == task.examples("test")
    ordered = tuple(folder / name for name in ("val.de", "val.en.gz"))
    files: dict[str, Any] = {"train": ordered, "validation": ordered, "test": ordered[::-1]}
    TranslationTask(TranslationConfig(**files, vocabulary_size=20, check_direction=False))


@pytest.mark.parametrize("language", ["en", "fr", "cs"])
def test_the_real_files(real_data: Callable[[str], Path], language: str) -> None:
    folder = real_data("multi30k")
    sizes = {split: len(folder_pairs(folder, split, ("de", language))) for split in ("train", "validation", "test")}
    assert sizes == {"train": 29_000, "validation": 1_014, "test": 1_000}
