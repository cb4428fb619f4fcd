from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Learning, Legible, Readable, Sized, Task
from saccade.tasks.entities import EntitiesConfig, EntitiesTask
from saccade.tasks.entities.conll import Span, as_bio, parse, spans

TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]


def conlleval(given: list[str], found: list[str]) -> tuple[int, int, int]:
    """Entities found, right, and both, by the walk of the shared task's script: one word after the other, with the
    ends and the beginnings of chunks on both sides."""

    def ends(last: str, tag: str) -> bool:
        return last != "O" and (tag == "O" or tag[0] == "B" or tag[2:] != last[2:])

    def begins(last: str, tag: str) -> bool:
        return tag != "O" and (last == "O" or tag[0] == "B" or tag[2:] != last[2:])

    counts, within, before = [0, 0, 0], False, ("O", "O")
    for pair in [*zip(given, found, strict=True), ("O", "O")]:
        over = [ends(last, tag) for last, tag in zip(before, pair, strict=True)]
        new = [begins(last, tag) for last, tag in zip(before, pair, strict=True)]
        if within:
            if all(over):
                counts[2] += 1
            if any(over) or pair[0][2:] != pair[1][2:]:
                within = False
        if all(new) and pair[0][2:] == pair[1][2:]:
            within = True
        counts[1] += new[0]
        counts[0] += new[1]
        before = pair
    return counts[0], counts[1], counts[2]


pairs = st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=12)


@given(pairs)
def test_entities_are_counted_as_conlleval_counts(both: list[tuple[str, str]]) -> None:
    given, found = ([pair[side] for pair in both] for side in (0, 1))
    theirs, ours = set(spans(given)), set(spans(found))
    assert (len(ours), len(theirs), len(ours & theirs)) == conlleval(given, found)


@given(st.lists(st.sampled_from(TAGS), max_size=12))
def test_bio_has_the_same_entities_and_begins_each_with_b(tags: list[str]) -> None:
    made = as_bio(tags)
    assert spans(made) == spans(tags)
    assert sum(tag[0] == "B" for tag in made) == len(spans(tags))


def test_spans_by_hand() -> None:
    tags = ["I-a", "I-a", "I-b", "O", "B-b", "B-b", "I-b"]
    assert spans(tags) == [Span(0, 2, "a"), Span(2, 3, "b"), Span(4, 5, "b"), Span(5, 7, "b")]


class TestFiles:
    def test_columns_tabs_document_starts_and_empty_lines(self) -> None:
        lines = [
            "-DOCSTART- -X- O O",
            "",
            "EU NNP I-NP I-ORG",
            "rejects VBZ I-VP O",
            "",
            "",
            "New\tB-LOC",
            "York\tI-LOC",
        ]
        one, two = parse(lines, "x")
        assert one.words == ("EU", "rejects")
        assert one.tags == ("B-ORG", "O")
        assert two.tags == ("B-LOC", "I-LOC")

    def test_three_columns_are_a_word_what_is_not_read_and_a_tag(self) -> None:
        [one] = parse(["in IN O\r".strip(), "Rome\tNNP\tI-LOC", "and CC O", " "], "x")
        assert one.words == ("in", "Rome", "and")
        assert one.tags == ("O", "B-LOC", "O")
        with pytest.raises(
            InvalidInput, match="line 1: expected a word and a tag, O, B-kind or I-kind, not 'Rome I-LOC"
        ):
            parse(["Rome I-LOC NNP"], "x")

    @pytest.mark.parametrize(("line", "why"), [
        ("word", "line 2: expected a word and a tag"), ("word X-a", "line 2"), ("word B-", "line 2"), ("\tO", "line 2"),
    ])  # fmt: skip
    def test_other_lines_are_refused(self, line: str, why: str) -> None:
        with pytest.raises(InvalidInput, match=why):
            parse(["a O", line], "file")

    def test_a_file_without_a_sentence_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="file: the file has no sentence"):
            parse(["", " ", "-DOCSTART- O"], "file")


@pytest.fixture(scope="module")
def task() -> EntitiesTask:
    return EntitiesTask(EntitiesConfig())


def test_the_embedded_sentences_are_wnut_17(task: EntitiesTask) -> None:
    assert task.describe()["sentences"] == {"train": 3394, "validation": 1009, "test": 1287}
    assert len(task.tags) == 13
    assert sum(len(one.words) for one in task.examples("train")) == 62730
    for ability in (Task, Sized, Legible, Readable, Learning):
        assert isinstance(task, ability)


def test_a_share_of_the_training_is_evenly_spread_and_nothing_else_changes(task: EntitiesTask) -> None:
    fifth = EntitiesTask(EntitiesConfig(share=0.2))
    rows, kept = ([one.words for one in each.examples("train")] for each in (task, fifth))
    assert len(kept) == 679
    places = [place * 3394 // 679 for place in range(679)]
    assert kept == [rows[place] for place in places]
    assert fifth.describe()["sentences"] == {"train": 679, "validation": 1009, "test": 1287}
    assert len(fifth.symbols) < len(task.symbols)
    assert fifth.describe()["sha256"] != task.describe()["sha256"]


def test_the_recall_of_unseen_names_is_of_those_alone(task: EntitiesTask) -> None:
    known, new = ("London", "Zzqxland")
    example = task.read(f"{known} {new}")
    place = task.tags.index("B-location")
    right = example._replace(tags=torch.tensor([place, place]))
    found = [task.score([(example.words, tags)], [right]).figures["unseen_recall"] for tags in ((place, 0), (0, place))]
    assert [figure.value for figure in found] == [0, 100]
    assert found[0].over == 1


def test_without_unseen_names_there_is_no_recall_of_them(task: EntitiesTask) -> None:
    example = task.read("London")
    right = example._replace(tags=torch.tensor([task.tags.index("B-location")]))
    figures = task.score([task.answer(right)], [right]).figures
    assert figures["recall"].value == 100
    assert "unseen_recall" not in figures


def test_all_names_of_the_test_are_unseen(task: EntitiesTask) -> None:
    examples = task.examples("test")
    figures = task.score([task.answer(one) for one in examples], examples).figures
    assert figures["unseen_recall"].over == sum(len(spans(task.names(one.tags.tolist()))) for one in examples) == 1079


def test_the_score_of_the_right_answer_and_of_none(task: EntitiesTask) -> None:
    examples = task.examples("test")
    right = [task.answer(one) for one in examples]
    figures = task.score(right, examples).figures
    assert all(figures[key].value == 100 for key in ("entity_f1", "surface_f1", "unseen_recall", "precision", "recall"))
    nothing = [(words, (0,) * len(words)) for words, _ in right]
    assert all(figure.value == 0 for figure in task.score(nothing, examples).figures.values())
    half = [*right[:600], *nothing[600:]]
    found = task.score(half, examples).figures
    assert found["precision"].value == 100
    assert 0 < found["recall"].value < 100  # type: ignore[operator]


def test_surfaces_count_once(task: EntitiesTask) -> None:
    example = task.read("Paris Paris London")
    place = [task.tags.index(tag) for tag in ("B-location", "O")]
    right = example._replace(tags=torch.tensor([place[0]] * 3))
    found = task.score([(example.words, (place[0], place[0], place[1]))], [right]).figures
    assert found["entity_f1"].value == pytest.approx(80)  # 2 of 3
    assert found["surface_f1"].value == pytest.approx(200 / 3)  # 1 of 2


def test_batches_hold_words_and_letters_and_hide_rare_words(task: EntitiesTask) -> None:
    examples = task.examples("train")[:20]
    plain, drawn = task.collate(examples), task.collate(examples, torch.Generator().manual_seed(1))
    one = examples[3]
    assert plain.letters[3, 0, : len(one.words[0])].tolist() == [task.alphabet.index(x) for x in one.words[0][:20]]
    assert not plain.letters[~plain.mask].any()
    assert plain.words[3] == one.words
    changed = drawn.symbols != plain.symbols
    assert changed.any()
    assert task._once[plain.symbols[changed]].all()
    assert (drawn.symbols[changed] == 1).all()


def test_answers_have_names_in_brackets(task: EntitiesTask) -> None:
    example = task.read("I love @JustinBieber in New York, don't I? http://t.co/x")
    assert example.words == (
        "I",
        "love",
        "@JustinBieber",
        "in",
        "New",
        "York",
        ",",
        "do",
        "n't",
        "I",
        "?",
        "http://t.co/x",
    )
    tags = ["O"] * 12
    tags[2], tags[4], tags[5] = "B-person", "B-location", "I-location"
    said = task.decode((example.words, tuple(task.tags.index(tag) for tag in tags)))
    assert said == "I love [person @JustinBieber] in [location New York] , do n't I ? http://t.co/x"


def test_bad_input_is_refused_in_a_sentence(task: EntitiesTask, tmp_path: Path) -> None:
    cases: list[tuple[Any, str]] = [("  ", "has no word"), (b"x", "not a file"), ("a" * 5001, "at most 5,000")]
    for raw, why in cases:
        with pytest.raises(InvalidInput, match=why):
            task.read(raw)
    train, test = tmp_path / "train", tmp_path / "test"
    train.write_text("a B-x\n\n")
    test.write_text("b B-y\n")
    with pytest.raises(InvalidInput, match="the training data have no 'y', which 'b' has"):
        EntitiesTask(EntitiesConfig(train=train, validation=train, test=test)).examples("test")
    with pytest.raises(NotFound, match="there is no such file"):
        EntitiesTask(EntitiesConfig(train=tmp_path / "no", validation=train, test=test))
    with pytest.raises(ValidationError, match="validation, test is missing"):
        EntitiesConfig(train=train)


def test_what_was_learned_is_saved(task: EntitiesTask, tmp_path: Path) -> None:
    task.save(tmp_path)
    again = EntitiesTask(task.config, tmp_path)
    assert (again.symbols, again.alphabet, again.tags) == (task.symbols, task.alphabet, task.tags)
