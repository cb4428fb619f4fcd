import gzip
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Learning, Legible, Readable, Sized, Task
from saccade.tasks.sentences import Chosen, PiecedTask, PiecesConfig, SentencesConfig, SentencesTask
from saccade.tasks.sentences.corpora import words_of
from saccade.tasks.sentences.grammar import BAD, GOOD, generated
from saccade.tasks.text import WordPieces


def reviews(count: int = 200, **options: Any) -> SentencesTask:
    return SentencesTask(SentencesConfig(reviews=count, **options))


def test_it_is_a_task_with_abilities() -> None:
    for ability in (Task, Sized, Legible, Readable, Learning):
        assert isinstance(reviews(50), ability)


class TestGrammar:
    def test_the_deciding_words_give_the_label(self) -> None:
        """The oracle: an adjective's side, turned by a "not" among the deciding words, and the end agrees."""
        for one in generated(500, 3)["train"]:
            words = [one.words[place] for place in one.deciding]
            opinion = [word for word in words if word in GOOD + BAD]
            assert len(opinion) == 1
            assert one.positive == ((opinion[0] in GOOD) != ("not" in words))
            assert ("fun" in words, "bored" in words) in ((False, False), (one.positive, not one.positive))

    def test_the_main_clause_decides(self) -> None:
        for one in generated(500, 4)["train"]:
            text, first = " ".join(one.words), min(one.deciding)
            if ", but" in text:
                assert first > one.words.index("but")
            if "although" in one.words:
                place = one.words.index("although")
                ahead = place == 0 or one.words[place - 1] == "."
                comma = one.words.index(",", place) if ahead else place
                assert (first > comma) == ahead

    def test_splits_share_no_review_and_follow_the_seed(self) -> None:
        found = generated(100, 1)
        whole = [one.words for rows in found.values() for one in rows]
        assert len(whole) == len(set(whole)) == 150
        assert generated(100, 1) == found != generated(100, 2)

    def test_neither_a_word_nor_a_bag_of_adjectives_gives_the_label_away(self) -> None:
        rows = generated(4000, 1)["train"]
        assert abs(sum(one.positive for one in rows) / len(rows) - 0.5) < 0.03
        counted = sum((sum(word in GOOD for word in one.words) > sum(word in BAD for word in one.words)) == one.positive
                      for one in rows)  # fmt: skip
        assert counted / len(rows) < 0.75


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"{n % 2} sentence number {n} n't" for n in range(40)]
    for name in ("train", "dev", "test"):
        (tmp_path / f"stsa.binary.{name}.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    (tmp_path / "subj.all").write_bytes("\n".join(f"{n % 2} café {n}" for n in range(50)).encode("latin-1"))
    (tmp_path / "rt-polarity.pos").write_text("".join(f"fine {n} \n" for n in range(30)))
    (tmp_path / "rt-polarity.neg").write_text("".join(f"poor {n} \n" for n in range(30)))
    return tmp_path


class TestCorpora:
    def test_published_splits_are_kept(self, folder: Path) -> None:
        task = SentencesTask(SentencesConfig(corpus="sst2", folder=folder))
        assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [40, 40, 40]
        assert task.examples("test")[3].words == ("sentence", "number", "3", "n't")
        assert task.examples("test")[3].label == 1

    def test_missing_splits_are_held_out_by_the_seed(self, folder: Path) -> None:
        one, other = (SentencesTask(SentencesConfig(corpus="mr", folder=folder, draw=draw)) for draw in (1, 2))
        rows = [example.words for split in ("train", "validation", "test") for example in one.examples(split)]
        assert len(rows) == len(set(rows)) == 60
        assert len(one.examples("test")) == 6
        assert [e.words for e in one.examples("test")] != [e.words for e in other.examples("test")]
        assert {e.label for e in one.examples("train") if e.words[0] == "fine"} == {1}

    def test_latin_1_is_read(self, folder: Path) -> None:
        task = SentencesTask(SentencesConfig(corpus="subj", folder=folder))
        assert task.examples("train")[0].words[0] == "café"

    def test_the_published_files(self, real_data: Any) -> None:
        folder, sizes = real_data("sentences"), {"sst2": (6920, 872, 1821), "sst5": (8544, 1101, 2210),
                                                 "trec": (4907, 545, 500), "mr": (8530, 1066, 1066)}  # fmt: skip
        for corpus, expected in sizes.items():
            task = SentencesTask(SentencesConfig(corpus=corpus, folder=folder))  # type: ignore[arg-type]
            assert tuple(task.describe()["sentences"].values()) == expected

    def test_a_file_of_ones_own(self, tmp_path: Path) -> None:
        train = tmp_path / "train.tsv"
        train.write_text("".join(f"{('cat', 'dog')[n % 2]}\tI don't like no. {n}.\n\n" for n in range(20)))
        task = SentencesTask(SentencesConfig(train=train))
        assert task.classes == ("cat", "dog")
        assert task.examples("train")[0].words[:4] == ("i", "do", "n't", "like")
        assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [16, 2, 2]


def test_typed_text_is_in_the_form_of_the_corpora() -> None:
    assert words_of("The movie wasn’t bad, it's re-made!") == (
        "The", "movie", "was", "n't", "bad", ",", "it", "'s", "re-made", "!",
    )  # fmt: skip


def test_words_are_hidden_in_training_only() -> None:
    task = reviews(hidden=0.5)
    examples = task.examples("train")[:20]
    plain, drawn = task.collate(examples), task.collate(examples, torch.Generator().manual_seed(1))
    assert not (plain.symbols == 1).any()
    changed = drawn.symbols != plain.symbols
    assert (drawn.symbols[changed] == 1).all()
    assert 0.4 < changed.sum() / plain.mask.sum() < 0.6


def test_what_was_learned_is_saved(tmp_path: Path) -> None:
    task = reviews()
    task.save(tmp_path)
    again = SentencesTask(task.config, tmp_path)
    assert (list(again.symbols), list(again.classes)) == (list(task.symbols), list(task.classes))
    again.check_trained(task.config)
    with pytest.raises(InvalidInput, match=r"task.lowercase is true"):
        reviews(lowercase=False).check_trained(task.config)


def test_accuracy_and_answers() -> None:
    task = reviews()
    examples = task.examples("test")
    right = [task.answer(one) for one in examples]
    assert task.score(right, examples).figures["accuracy"].value == 100
    wrong = [Chosen(1 - one.label, (0.5, 0.5)) for one in right]
    assert task.score([*wrong[:10], *right[10:]], examples).figures["accuracy"].value == pytest.approx(80)
    assert task.decode(Chosen(1, (0.25, 0.75))) == "positive (0.75)"
    assert set(task.compare(examples[0], right[0])) == {"sentence", "ours", "right"}
    example = task.read("The movie was not bad at all. I had fun, Schwarzenegger!")
    assert task.notes(example) == ["not in the vocabulary, and read as unknown: schwarzenegger, !"]
    assert "right" not in task.compare(example, right[0])


def test_bad_input_is_refused_in_a_sentence(tmp_path: Path, folder: Path) -> None:
    task = reviews()
    cases = [("??", "no word of"), ("  ", "has no word"), ("xyzzy", "no word of 'xyzzy'"), (b"x", "not a file")]
    for raw, why in [*cases, ("a" * 20_001, "at most 20,000")]:
        with pytest.raises(InvalidInput, match=why):
            task.read(raw)
    files = {"a\tone\nb": "line 2: expected a label, a tab and a sentence, not 'b'", "": "the file is empty",
             "a\tone\na\ttwo": "expected two labels or more; every sentence is 'a'",
             "a\tone\nb\ttwo": "expected at least 10 training sentences"}  # fmt: skip
    for text, why in files.items():
        path = tmp_path / "own.tsv"
        path.write_text(text)
        with pytest.raises(InvalidInput, match=why):
            SentencesTask(SentencesConfig(train=path))
    with pytest.raises(NotFound, match=r"has neither TREC.train.all nor TREC.train.all.gz"):
        SentencesTask(SentencesConfig(corpus="trec", folder=folder))
    with pytest.raises(NotFound, match="there is no such folder"):
        SentencesTask(SentencesConfig(corpus="trec", folder=folder / "none"))
    with pytest.raises(ValidationError, match="needs its folder"):
        SentencesConfig(corpus="trec")
    with pytest.raises(InvalidInput, match="there is no split 'dev'"):
        task.examples("dev")


class TestPieces:
    """The same sentences in pieces of words."""

    def test_a_sentence_is_framed_and_cut(self, tmp_path: Path) -> None:
        names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "##ly", "the", "film"]
        (tmp_path / "vocab.txt").write_text("".join(f"{name}\n" for name in names))
        task = PiecedTask(PiecesConfig(reviews=50, longest=8, symbols=WordPieces(vocabulary=tmp_path / "vocab.txt")))
        example = task.read("The film badly")
        assert example.words == ("[CLS]", "the", "film", "bad", "##ly", "[SEP]")
        assert example.symbols.tolist() == [2, 8, 9, 6, 7, 3]
        assert (task.text(example), task.notes(example)) == ("the film badly", [])
        cut = task.read("good good good bad bad bad film odd")
        assert cut.words == ("[CLS]", *["good"] * 3, *["bad"] * 3, "[SEP]")
        assert cut.notes == ("the text has 8 pieces, of which the first 6 are read",)
        assert task.read("odd film").notes == ("the model does not know 1 of the words",)
        for raw, said in (
            ("", "has no word"),
            ("odd odd", "no part of"),
            (b"x", "not a file"),
            ("a " * 20_000, "shorten"),
        ):
            with pytest.raises(InvalidInput, match=said):
                task.read(raw)

    def test_learned_pieces_and_classes_are_kept(self, tmp_path: Path) -> None:
        config = PiecesConfig(reviews=50, symbols=WordPieces(size=120), classes=("no", "yes"))
        task = PiecedTask(config)
        task.save(tmp_path)
        again = PiecedTask(config, tmp_path)
        assert again.symbols.names == task.symbols.names
        assert list(again.classes) == ["no", "yes"]
        assert task.known == len(task.symbols.names) <= 120
        one, other = task.examples("test")[0], again.examples("test")[0]
        assert one.words == other.words
        assert task.compare(one, task.answer(one))["right"] in ("no", "yes")
        with pytest.raises(InvalidInput, match=r"task\.symbols is of the training"):
            again.check_trained(PiecesConfig(symbols=WordPieces(size=130)))

    def test_classes_are_found_by_their_names(self, tmp_path: Path) -> None:
        rows = [(one, f"this is {one} number {n}") for n in range(12) for one in ("anger", "joy", "sadness")]
        path = tmp_path / "own.tsv"
        path.write_text("".join(f"{label}\t{text}\n" for label, text in rows))
        known = ("sadness", "fear", "joy", "anger")
        task = PiecedTask(PiecesConfig(train=path, classes=known))
        for example in task.examples("train"):
            assert task.text(example).split()[2] == task.classes[example.label]
        words = SentencesTask(SentencesConfig(train=path))
        words.save(tmp_path)
        few = tmp_path / "few.tsv"
        few.write_text("".join(f"{label}\t{text}\n" for label, text in rows if label != "anger"))
        again = SentencesTask(SentencesConfig(train=few), tmp_path)
        assert {(one.words[2], again.classes[one.label]) for one in again.examples("train")} == {
            ("joy", "joy"), ("sadness", "sadness"),
        }  # fmt: skip
        few.write_text("".join(f"{label}\t{text}\n" for label, text in [*rows, *[("fear", "this is fear")] * 9]))
        with pytest.raises(InvalidInput, match=r"few\.tsv has a class 'fear' that the model does not know"):
            SentencesTask(SentencesConfig(train=few), tmp_path).examples("test")
        others = PiecedTask(PiecesConfig(train=path, classes=("LABEL_0", "LABEL_1", "LABEL_2")))  # by position
        assert {one.label for one in others.examples("train")} == {0, 1, 2}

    def test_other_classes_than_the_data_have(self) -> None:
        with pytest.raises(InvalidInput, match=r"reviews has a class 'negative' that the model does not know"):
            PiecedTask(PiecesConfig(reviews=50, classes=("a", "b", "c"))).examples("test")
