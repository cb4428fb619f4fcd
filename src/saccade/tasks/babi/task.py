"""The bAbI task: stories and questions, a vocabulary, batches, and the mean error over the tasks."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from saccade.core.errors import InvalidInput
from saccade.core.files import read_record, write_atomically
from saccade.core.masks import length_mask
from saccade.core.task import Figure, Score, Series
from saccade.tasks.babi.config import NAMES, BabiConfig
from saccade.tasks.babi.hub import from_hub
from saccade.tasks.babi.stories import Story, embedded, typed, whole, words_of

SPLITS = ("train", "validation", "test")
FAILED = 5.0
"""A task with a larger error, in %, is failed (Weston et al. 2015, 5)."""


class Example(NamedTuple):
    """A question and what is remembered of its story."""

    task: int
    """0 if a user typed it."""
    sentences: Sequence[str]
    question: str
    answer: str
    supports: tuple[int, ...]
    """The sentences that support the answer, in the order of the data; those no longer remembered are left out."""
    story: Int[Tensor, "n w"]
    asked: Int[Tensor, " w"]
    target: int
    """The answer as a symbol; 0 if it is unknown."""
    notes: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Padded stories. Symbol 0 is no word: padding, or a word that is not in the vocabulary."""

    stories: Int[Tensor, "b n w"]
    mask: Bool[Tensor, "b n"]
    """True at the sentences, and at the empty memories of training, which hold no word."""
    questions: Int[Tensor, "b w"]
    answers: Int[Tensor, " b"]
    supports: Int[Tensor, "b s"]
    """The supporting sentences; -1 after the last."""


class BabiTask:
    """Stories with questions. The metric is the mean error over the tasks, in %.

    The last tenth of the training questions of each task is for validation, in whole stories.
    """

    metric = "error"
    direction: Literal["min"] = "min"
    unit = "%"
    accepts = ("text",)
    longest_input = 20_000
    """Characters of a story with its question."""

    def __init__(self, config: BabiConfig, assets: Path | None = None) -> None:
        self.config = config
        self._examples: dict[str, list[Example]] = {}
        self._rows: dict[str, list[int]] = {}
        if assets is None:
            self.symbols, self.answers = self._learned()
        else:
            kept = read_record(assets / "vocabulary.json", "symbols", "answers")
            self.symbols, self.answers = [str(symbol) for symbol in kept["symbols"]], int(kept["answers"])
        self.numbers = {symbol: number for number, symbol in enumerate(self.symbols)}

    def _learned(self) -> tuple[list[str], int]:
        """The vocabulary of the training file, validation included: no word, the answers, all other symbols; and the
        number of symbols up to the last answer."""
        found, answers = set[str](), set[str]()
        for stories in self._stories["train"].values():
            for story in stories:
                found |= {symbol for text in story.sentences for symbol in self.symbols_of(text)}
                for question in story.questions:
                    answers.add(question.answer)
                    found.update(self.symbols_of(question.text))
        return ["", *sorted(answers), *sorted(found - answers)], 1 + len(answers)

    @cached_property
    def _stories(self) -> dict[str, dict[int, list[Story]]]:
        """The stories of the training and of the test files."""
        config = self.config
        if config.hub:
            return {split: from_hub(config.hub, config.tasks, split, config.questions) for split in ("train", "test")}
        if config.folder is not None:
            return {split: whole(config.folder, config.tasks, split, config.questions) for split in ("train", "test")}
        return {split: {task: embedded()[task, split] for task in config.tasks} for split in ("train", "test")}

    def stories(self, split: str) -> dict[int, list[Story]]:
        """Task -> the stories of a split."""
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split == "test":
            return self._stories["test"]
        parts = {task: hold_out(stories) for task, stories in self._stories["train"].items()}
        return {task: found[split == "validation"] for task, found in parts.items()}

    @cached_property
    def _width(self) -> int:
        """The symbols of the longest training sentence: stories as wide as each other are padded in one operation."""
        stories = (story for found in self._stories["train"].values() for story in found)
        return max(len(self._encoded(text)) for story in stories for text in story.sentences)

    def examples(self, split: str) -> Sequence[Example]:
        if split not in self._examples:
            found = [
                [example for story in stories for example in self._of(task, story)]
                for task, stories in self.stories(split).items()
            ]
            # the tasks in turn, so that the first examples are of all of them
            self._examples[split] = [one for row in zip_longest(*found) for one in row if one is not None]
        return self._examples[split]

    def _of(self, task: int, story: Story) -> list[Example]:
        rows, found = self.encode(story.sentences, self._width), []
        for question in story.questions:
            first = max(0, question.known - self.config.most_sentences)
            supports = tuple(place - first for place in question.supports if place >= first)
            found.append(Example(
                task, story.sentences[first : question.known], question.text, question.answer, supports,
                rows[first : question.known], self.encode([question.text])[0], self.numbers.get(question.answer, 0),
            ))  # fmt: skip
        return found

    def symbols_of(self, text: str) -> list[str]:
        """The words of a text, and with `grams` its pairs and triples of words."""
        words = words_of(text)
        longest = range(1, self.config.grams + 1)
        return [" ".join(words[i : i + size]) for size in longest for i in range(len(words) - size + 1)]

    def encode(self, texts: Sequence[str], width: int = 0) -> Int[Tensor, "n w"]:
        """A row of symbols for each text, at least this wide; those that are not in the vocabulary are left out."""
        rows = [self._encoded(text) for text in texts]
        width = max(width, *map(len, rows)) if rows else width
        filled = [[*row, *[0] * (width - len(row))] for row in rows]
        return torch.tensor(filled, dtype=torch.long).view(len(rows), width)

    def _encoded(self, text: str) -> list[int]:
        if text not in self._rows:  # the same sentences stand in many stories
            self._rows[text] = [self.numbers[one] for one in self.symbols_of(text) if one in self.numbers]
        return self._rows[text]

    def read(self, raw: str | bytes) -> Example:
        """A story that a user typed, with a question at its end.

        Raises:
            InvalidInput: no story, no question, a question of unknown words only, or a text longer than
                `longest_input`.
        """
        if not isinstance(raw, str):
            raise InvalidInput("expected a story and a question as text, not a file")
        if len(raw) > self.longest_input:
            raise InvalidInput(f"expected at most {self.longest_input:,} characters, got {len(raw):,}: shorten it")
        sentences, question, earlier = typed(raw)
        asked, most = self.encode([question])[0], self.config.most_sentences
        if not len(asked):
            raise InvalidInput(f"no word of the question {question!r} is in the vocabulary of this model")
        unknown = dict.fromkeys(
            word for text in [*sentences, question] for word in words_of(text) if word not in self.numbers
        )
        notes = [f"not in the vocabulary, and left out: {', '.join(unknown)}"] if unknown else []
        if earlier:
            notes.append(f"only the last question is answered; left out: {' '.join(earlier)}")
        if len(sentences) > most:
            notes.append(f"the story has {len(sentences)} sentences, and the last {most} are remembered")
        kept = sentences[-most:]
        return Example(0, kept, question, "", (), self.encode(kept), asked, 0, tuple(notes))

    def notes(self, example: Example) -> list[str]:
        return list(example.notes)

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        width = max(1, *(example.story.shape[1] for example in examples))
        rows = [one.story if one.story.shape[1] == width else widened(one.story, width) for one in examples]
        stories = pad_sequence(rows, True)
        mask = length_mask(torch.tensor([len(row) for row in rows]), stories.shape[1])
        most = max(len(example.supports) for example in examples)
        supports = torch.tensor([[*one.supports, *[-1] * (most - len(one.supports))] for one in examples])
        supports = supports.view(len(examples), most).long()
        if generator is not None and self.config.empty_memories:
            stories, mask, supports = with_empty_memories(
                stories, mask, supports, self.config.empty_memories, self.config.most_sentences, generator
            )
        questions = pad_sequence([example.asked for example in examples], True)
        return Batch(stories, mask, questions, torch.tensor([example.target for example in examples]), supports)

    def decode(self, prediction: int) -> str:
        return self.symbols[prediction]

    def answer(self, example: Example) -> int:
        return example.target

    def compare(self, example: Example, prediction: int) -> Mapping[str, str]:
        texts = {"story": " ".join(example.sentences), "question": example.question, "ours": self.decode(prediction)}
        return {**texts, "right": example.answer} if example.answer else texts

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """Stories of the test split with their questions, a sentence a line."""
        examples = self.examples("test")
        chosen = examples[:: max(1, len(examples) // max(1, count))][:count]
        return ["\n".join([*example.sentences, example.question]) for example in chosen]

    def score(self, predictions: Sequence[int], examples: Sequence[Example]) -> Score:
        """The mean error over the tasks, the number of failed tasks, and the error of each task."""
        asked, wrong = Counter[int](), Counter[int]()
        for prediction, example in zip(predictions, examples, strict=True):
            asked[example.task] += 1
            wrong[example.task] += self.symbols[prediction] != example.answer
        errors = {task: 100 * wrong[task] / asked[task] for task in sorted(asked)}
        by_task = Series(
            list(errors), list(errors.values()), "task", "error (%)", counts=[asked[task] for task in errors]
        )
        figures = {
            "error": Figure(sum(errors.values()) / max(1, len(errors)), "%", "mean error"),
            "failed": Figure(sum(error > FAILED for error in errors.values()), name="tasks failed"),
            "tasks": Figure(len(errors)),
            "questions": Figure(len(examples)),
        }
        return Score(figures, {"by_task": by_task} if len(errors) > 1 else {})

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for split in SPLITS:
            digest.update(repr(self.stories(split)).encode("utf-8"))
        tasks, config = self.config.tasks, self.config
        chosen = "20 tasks" if len(tasks) == len(NAMES) else f"task{'s' * (len(tasks) > 1)} {' '.join(map(str, tasks))}"
        source = f"bAbI {config.questions}" if config.folder or config.hub else "embedded sample of bAbI"
        return {
            "data": f"{source}, {chosen}" + (f" ({NAMES[tasks[0] - 1]})" if len(tasks) == 1 else ""),
            "questions": {split: len(self.examples(split)) for split in SPLITS},
            "symbols": len(self.symbols),
            "sha256": digest.hexdigest(),
        }

    def save(self, folder: Path) -> None:
        data = json.dumps({"symbols": self.symbols, "answers": self.answers}, ensure_ascii=False)
        write_atomically(folder / "vocabulary.json", (data + "\n").encode("utf-8"))

    def check_trained(self, trained: BabiConfig) -> None:
        """Raise if the symbols of a sentence are not those of the training.

        Raises:
            InvalidInput: another length of word sequences.
        """
        if self.config.grams != trained.grams:
            raise InvalidInput(
                f"task.grams is {trained.grams} in the training of this run; it cannot be {self.config.grams} now"
            )


def widened(rows: Int[Tensor, "n w"], width: int) -> Int[Tensor, "n w2"]:
    return F.pad(rows, (0, width - rows.shape[1]))


def hold_out(stories: Sequence[Story]) -> tuple[list[Story], list[Story]]:
    """The stories for training, and those with the last tenth of the questions; one story at least on each side."""
    total = sum(len(story.questions) for story in stories)
    kept, count = len(stories), 0
    while kept > 1 and count < total / 10:
        kept -= 1
        count += len(stories[kept].questions)
    return list(stories[:kept]), list(stories[kept:])


def with_empty_memories(
    stories: Int[Tensor, "b n w"],
    mask: Bool[Tensor, "b n"],
    supports: Int[Tensor, "b s"],
    share: float,
    most: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, "b n2 w"], Bool[Tensor, "b n2"], Int[Tensor, "b s"]]:
    """Insert memories without a word at random places, as many as this share of the sentences, rounded up.

    Sentences keep their order. A story with the most sentences stays as it is.
    """
    count = mask.sum(1)
    total = (count + (count * share).ceil().long()).clamp(max=torch.tensor(most).maximum(count))
    size = int(total.max())
    after = length_mask(total, size)
    # a place for each sentence, drawn without replacement; the order of the sentences stays
    draws = torch.rand(after.shape, generator=generator).masked_fill(~after, 2.0)
    chosen = draws.argsort(1).argsort(1) < count[:, None]
    source = (chosen.cumsum(1) - 1).clamp(min=0)
    moved = stories.gather(1, source[:, :, None].expand(-1, -1, stories.shape[2])) * chosen[:, :, None]
    places = (~chosen).long().argsort(dim=1, stable=True)  # sentence -> its place
    found = places.gather(1, supports.clamp(min=0)).where(supports >= 0, supports)
    return moved, after, found
