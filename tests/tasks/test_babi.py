import gzip
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Answered, Learning, Legible, Readable, Sized, Task
from saccade.tasks.babi import BabiConfig, BabiTask
from saccade.tasks.babi.config import ALL, NAMES
from saccade.tasks.babi.stories import EMBEDDED, embedded, parse, typed
from saccade.tasks.babi.stream import Questions
from saccade.tasks.babi.task import hold_out, with_empty_memories

LINES = [
    "1 Mary moved to the bathroom.",
    "2 John went to the hallway.",
    "3 Where is Mary? \tbathroom\t1",
    "4 Daniel went back to the hallway.",
    "5 Where is Daniel? \thallway\t4",
    "1 Bill gave the milk to Fred.",
    "2 What is it? \tmilk,Fred\t1",
]


@pytest.fixture(scope="module")
def task() -> BabiTask:
    return BabiTask(BabiConfig(tasks=(1, 3, 8)))


def test_the_embedded_sample_is_small_and_has_stories_of_each_task() -> None:
    assert len(EMBEDDED.read_bytes()) < 150_000
    assert set(embedded()) == {(task, split) for task in ALL for split in ("train", "test")}
    for (_, split), stories in embedded().items():
        assert sum(len(story.questions) for story in stories) >= {"train": 60, "test": 20}[split]
        assert all(place < question.known for s in stories for question in s.questions for place in question.supports)


def test_the_sample_names_its_source_and_its_licence() -> None:
    said = Path(str(EMBEDDED)).with_name("ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "Creative Commons Attribution 3.0" in said
    assert "Facebook" in said
    assert "Weston" in said


def test_a_file_becomes_stories_with_supporting_facts() -> None:
    first, second = parse(LINES, "file")
    assert first.sentences == (
        "Mary moved to the bathroom.", "John went to the hallway.", "Daniel went back to the hallway.",
    )  # fmt: skip
    assert [(q.answer, q.known, q.supports) for q in first.questions] == [("bathroom", 2, (0,)), ("hallway", 3, (2,))]
    assert second.questions[0].answer == "milk,fred"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Mary moved.", r"qa, line 2: expected '1 A sentence\.'"),
        ("2 Where is Mary?\tbathroom", "line 2: expected"),
        ("2 Where is Mary?\tbathroom\t7", "line 2: expected an answer, and the numbers of earlier sentences .* '7'"),
        ("2 Where is Mary?\t\t1", "line 2: expected an answer"),
        ("1 Where is Mary?\tbathroom\t1", "line 2: a question before the first sentence of its story"),
    ],
)
def test_a_broken_line_is_named(line: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse(["1 Mary moved.", line], "qa")


def test_it_is_a_task_with_these_abilities(task: BabiTask) -> None:
    for ability in (Task, Legible, Readable, Learning, Answered):
        assert isinstance(task, ability)
    assert not isinstance(task, Sized)  # so that batches count questions, as in the papers
    assert len(NAMES) == 20


def test_validation_is_the_last_tenth_and_shares_no_story_with_training(task: BabiTask) -> None:
    for number, stories in task.stories("train").items():
        held = task.stories("validation")[number]
        counts = [sum(len(story.questions) for story in part) for part in (stories, held)]
        assert 0.1 * sum(counts) <= counts[1] <= 0.1 * sum(counts) + max(len(story.questions) for story in held)
        assert [*stories, *held] == embedded()[number, "train"]
    one = embedded()[1, "train"][:1]
    assert hold_out(one) == (one, [])


def test_examples_hold_the_latest_sentences_and_their_facts() -> None:
    short = BabiTask(BabiConfig(tasks=(3,), most_sentences=5))
    whole = BabiTask(BabiConfig(tasks=(3,), most_sentences=1000))
    for cut, full in zip(short.examples("test"), whole.examples("test"), strict=True):
        assert list(cut.sentences) == list(full.sentences[-5:])
        gone = len(full.sentences) - len(cut.sentences)
        assert cut.supports == tuple(place - gone for place in full.supports if place >= gone)
        words = [[short.symbols[symbol] for symbol in row if symbol] for row in cut.story.tolist()]
        assert [" ".join(row) for row in words] == [text.lower().rstrip(".") for text in cut.sentences]
        assert short.symbols[cut.target] == cut.answer


def test_a_batch_is_padded_with_no_word(task: BabiTask) -> None:
    examples = [task.examples("test")[row] for row in (0, 1, 5)]
    batch = task.collate(examples)
    for row, example in enumerate(examples):
        size = len(example.sentences)
        assert torch.equal(batch.stories[row, :size, : example.story.shape[1]], example.story)
        assert not batch.stories[row, size:].any()
        assert batch.mask[row].tolist() == [True] * size + [False] * (batch.mask.shape[1] - size)
        assert [place for place in batch.supports[row].tolist() if place >= 0] == list(example.supports)


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=5), share=st.sampled_from([0.1, 0.5, 1.0]),
    most=st.integers(9, 20),
)  # fmt: skip
def test_empty_memories_keep_the_order_and_the_facts(counts: list[int], share: float, most: int) -> None:
    size = max(counts)
    stories = (1 + torch.arange(len(counts) * size * 2)).view(len(counts), size, 2)
    mask = torch.arange(size) < torch.tensor(counts)[:, None]
    stories = stories * mask[:, :, None]
    supports = torch.tensor([[count - 1, 0, -1] for count in counts])
    made = with_empty_memories(stories, mask, supports, share, most, torch.Generator().manual_seed(3))
    for row, count in enumerate(counts):
        total = min(count - int(-count * share // 1), max(most, count))
        assert made[1][row].sum() == total
        assert made[1][row, :total].all()
        kept = [sentence for sentence in made[0][row].tolist() if any(sentence)]
        assert kept == stories[row, :count].tolist()
        places = made[2][row].tolist()
        assert [made[0][row, place].tolist() for place in places[:2]] == [kept[-1], kept[0]]
        assert places[2] == -1


def test_empty_memories_come_in_training_only() -> None:
    noisy = BabiTask(BabiConfig(tasks=(1,), empty_memories=0.1))
    examples = noisy.examples("train")[:7]
    assert not ((noisy.collate(examples).stories.sum(2) == 0) & noisy.collate(examples).mask).any()
    batch = noisy.collate(examples, torch.Generator().manual_seed(1))
    assert ((batch.stories.sum(2) == 0) & batch.mask).sum(1).tolist() == [-(-len(e.sentences) // 10) for e in examples]


def test_pairs_and_triples_are_symbols() -> None:
    task = BabiTask(BabiConfig(tasks=(1,), grams=3))
    assert task.symbols_of("Where is John?") == ["where", "is", "john", "where is", "is john", "where is john"]
    assert {"where is", "where is john"} <= set(task.symbols)


def test_a_user_types_a_story_and_a_question(task: BabiTask) -> None:
    example = task.read("John went to the kitchen.  Mary took the milk there. Where is John?")
    assert list(example.sentences) == ["John went to the kitchen.", "Mary took the milk there."]
    assert example.question == "Where is John?"
    assert not task.notes(example)
    assert task.collate([example]).stories.shape[1] == 2
    lines = "1 John went to the kitchen\n2 Mary took the milk there\n3 Where is John?"
    assert typed(lines) == (["John went to the kitchen", "Mary took the milk there"], "Where is John?", [])


def test_examples_to_type_have_a_sentence_a_line(task: BabiTask) -> None:
    for raw in task.examples_to_type(3):
        *sentences, question = str(raw).split("\n")
        example = task.read(raw)
        assert (list(example.sentences), example.question) == (sentences, question)


def test_what_is_left_out_is_noted(task: BabiTask) -> None:
    example = task.read("John flew to the zoo. Where is Mary? Where is John?")
    assert task.notes(example) == [
        "not in the vocabulary, and left out: flew, zoo", "only the last question is answered; left out: Where is Mary?"
    ]  # fmt: skip
    long = task.read("John went to the kitchen. " * 60 + "Where is John?")
    assert task.notes(long) == ["the story has 60 sentences, and the last 50 are remembered"]
    assert not task.read("Zzz. Where is John?").story.any()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("Where is John?", "the story is empty: expected sentences before the question, such as 'John went"),
        ("Where is Mary? Where is John?", "the story is empty"),
        ("John went to the kitchen.", "expected a question at the end of the story, .*; the input ends in 'John went"),
        ("John went to the kitchen. Wo ist Hans?", "no word of the question 'Wo ist Hans\\?' is in the vocabulary"),
        ("...", "the input has no word"),
        ("John. " * 4000 + "Where is John?", "expected at most 20,000 characters, got 24,014"),
        (b"RIFF", "expected a story and a question as text, not a file"),
    ],
)
def test_what_is_no_story_is_one_sentence(task: BabiTask, raw: str | bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        task.read(raw)


def test_the_error_is_the_mean_over_tasks(task: BabiTask) -> None:
    found = task.examples("test")
    examples = [e for e in found if e.task == 1][:8] + [e for e in found if e.task == 3][:4]
    right = [example.target for example in examples]
    wrong = [0, *right[1:8], *right[8:]]
    assert task.score(right, examples).figures["error"].value == 0
    score = task.score(wrong, examples)
    assert score.figures["error"].value == pytest.approx((100 / 8 + 0) / 2)
    assert score.figures["failed"].value == 1
    assert list(score.series["by_task"].x) == [1, 3]
    assert list(score.series["by_task"].counts) == [8, 4]
    # a word that is not in the vocabulary cannot be said, and is wrong
    unknown = [example._replace(answer="zoo", target=0) for example in examples]
    assert task.score([0] * len(unknown), unknown).figures["error"].value == 100


def test_batches_hold_as_many_questions_sorted_within_a_window(task: BabiTask) -> None:
    stream = Questions(task, batch_size=16, window=64, seed=1)
    for epoch in (0, 1):
        batches = stream.epoch(epoch)
        assert sorted(row for batch in batches for row in batch) == list(range(len(stream.examples)))
        assert sum(len(batch) != 16 for batch in batches) <= 1
    assert stream.epoch(0) == Questions(task, batch_size=16, window=64, seed=1).epoch(0) != stream.epoch(1)


def test_the_configuration_is_checked() -> None:
    with pytest.raises(ValidationError, match="tasks names a task twice: 1 1"):
        BabiConfig(tasks=(1, 1))
    with pytest.raises(ValidationError, match="questions is '10k', which needs the whole set"):
        BabiConfig(questions="10k")
    for tasks in ((21,), (0,), ()):
        with pytest.raises(ValidationError):
            BabiConfig(tasks=tasks)
    with pytest.raises(InvalidInput, match=r"task\.grams is 1 in the training of this run; it cannot be 3 now"):
        BabiTask(BabiConfig(tasks=(1,), grams=3)).check_trained(BabiConfig(tasks=(1,)))


def test_what_is_not_the_set_is_said(tmp_path: Path) -> None:
    def of(path: Path) -> BabiTask:
        return BabiTask(BabiConfig(folder=path, tasks=(1,)))

    with pytest.raises(NotFound, match="there is no such folder or archive"):
        of(tmp_path / "none")
    with pytest.raises(NotFound, match=r"holds neither en/qa1_single-supporting-fact_train\.txt nor one archive"):
        of(tmp_path)
    (tmp_path / "bad.tar.gz").write_bytes(gzip.compress(b"nothing"))
    with pytest.raises(InvalidInput, match="the archive is broken, or is not one of bAbI"):
        of(tmp_path / "bad.tar.gz")
    (tmp_path / "en").mkdir()
    with pytest.raises(NotFound, match="has no train questions of task 1 in en"):
        of(tmp_path)


def test_a_folder_and_an_archive_give_the_same(tmp_path: Path) -> None:
    room = tmp_path / "tasks_1-20_v1-2" / "en"
    room.mkdir(parents=True)
    for split in ("train", "test"):
        (room / f"qa1_single-supporting-fact_{split}.txt").write_text("\n".join(LINES), encoding="utf-8")
    with tarfile.open(tmp_path / "babi.tar.gz", "w:gz") as archive:
        archive.add(room.parent, "tasks_1-20_v1-2")
    described = [
        BabiTask(BabiConfig(folder=path, tasks=(1,))).describe()
        for path in (tmp_path, room.parent, tmp_path / "babi.tar.gz")
    ]
    assert described[0] == described[1] == described[2]
    assert described[0]["questions"] == {"train": 2, "validation": 1, "test": 3}


def test_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the hub give the stories of the file that they were made of."""
    story = [
        {"id": "1", "type": 0, "text": "Mary moved to the bathroom.", "supporting_ids": [], "answer": ""},
        {"id": "2", "type": 0, "text": "John went to the hallway.", "supporting_ids": [], "answer": ""},
        {"id": "3", "type": 1, "text": "Where is Mary? ", "supporting_ids": ["1"], "answer": "bathroom"},
    ]
    asked = []

    def load_dataset(kind: str, data_files: dict[str, str], split: str) -> list[dict[str, Any]]:
        asked.append((kind, data_files, split))
        columns = {name: [line[name] for line in story] for name in story[0]}
        return [{"story": story}, {"story": columns}] * 10  # both forms of its library

    module = ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    config = BabiConfig(hub="facebook/babi_qa", questions="10k", tasks=(2,))
    task = BabiTask(config)
    assert config.extras == ("hub",)
    assert task.stories("test")[2][:2] == parse(LINES[:3], "a file") * 2
    files = "hf://datasets/facebook/babi_qa@~parquet/en-10k-qa2/{}/*.parquet"
    assert asked == [("parquet", {split: files.format(split)}, split) for split in ("train", "test")]
    assert "bAbI 10k" in task.describe()["data"]
    del story[0]["answer"]
    with pytest.raises(InvalidInput, match=r"facebook/babi_qa of the hub is not bAbI: .* \(KeyError: 'answer'\)"):
        BabiTask(config)

    def unreachable(kind: str, data_files: dict[str, str], split: str) -> None:
        raise ConnectionError("no network")

    module.load_dataset = unreachable  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match=r"task 2 of facebook/babi_qa could not .* \(ConnectionError: no network\)"):
        BabiTask(config)


def test_the_whole_set(real_data: Callable[[str], Path]) -> None:
    task = BabiTask(BabiConfig(folder=real_data("babi")))
    described = task.describe()
    assert described["questions"]["test"] == 20_000
    assert described["questions"]["train"] + described["questions"]["validation"] == 20_000
    assert 1990 <= described["questions"]["validation"] <= 2090
    assert all(example.target for split in ("train", "validation") for example in task.examples(split))
    for key, stories in embedded().items():  # the sample is of the same files
        assert set(stories) <= set(task._stories[key[1]][key[0]])
    larger = BabiTask(BabiConfig(folder=real_data("babi"), questions="10k", tasks=(1, 2)))
    assert larger.describe()["data"] == "bAbI 10k, tasks 1 2"
    with pytest.raises(NotFound, match=r"no train questions of task 3 in en-10k; type --task\.tasks 2"):
        BabiTask(BabiConfig(folder=real_data("babi"), questions="10k", tasks=(2, 3)))
