"""The task of sentences: one of several classes for each; accuracy."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.core.errors import InvalidInput
from saccade.core.files import read_record, write_atomically
from saccade.core.masks import length_mask
from saccade.core.task import Figure, Score, Size
from saccade.tasks.sentences.config import CorpusConfig, SentencesConfig
from saccade.tasks.sentences.corpora import CLASSES, Labelled, lower, own, published, renumbered, words_of
from saccade.tasks.sentences.grammar import generated

SPLITS = ("train", "validation", "test")
UNKNOWN = 1


class Example(NamedTuple):
    """A sentence."""

    words: tuple[str, ...]
    symbols: Int[Tensor, " t"]
    label: int
    """-1 if a user typed it."""
    deciding: tuple[int, ...] = ()
    """The places of the words that decide, where they are known."""
    notes: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Padded sentences. Symbol 0 is padding, 1 an unknown word."""

    symbols: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]
    labels: Int[Tensor, " b"]


class Chosen(NamedTuple):
    """The class that was chosen, and the probability of each."""

    label: int
    probabilities: tuple[float, ...]


def corpus(config: CorpusConfig) -> tuple[dict[str, list[Labelled]], Sequence[str]]:
    """The sentences of a corpus by split, and its classes."""
    if config.train is not None:
        paths = {"train": config.train, "validation": config.validation, "test": config.test}
        return own(paths, config.draw)
    if config.folder is not None:
        return published(config.corpus, config.folder, config.draw), CLASSES[config.corpus]
    return {
        split: [Labelled(one.words, int(one.positive), one.deciding) for one in reviews]
        for split, reviews in generated(config.reviews, config.draw).items()
    }, CLASSES[config.corpus]


class ClassesTask:
    """Sentences of classes, in any symbols. The metric is the share of sentences whose class is right, in %."""

    metric = "accuracy"
    direction: Literal["max"] = "max"
    unit = "%"
    accepts = ("text",)
    longest_input = 20_000
    """Characters of a text."""
    config: Any
    classes: Sequence[str]
    learned: Sequence[str] = ()
    """The classes of the training, in a run."""

    def __init__(self) -> None:
        self._examples: dict[str, list[Example]] = {}

    @cached_property
    def _read(self) -> tuple[dict[str, list[Labelled]], Sequence[str]]:
        """The sentences by split, and the classes."""
        return corpus(self.config)

    @property
    def known(self) -> int:
        """The number of symbols."""
        raise NotImplementedError

    def example(self, one: Labelled) -> Example:
        """A sentence in symbols."""
        raise NotImplementedError

    def examples(self, split: str) -> Sequence[Example]:
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            self._examples[split] = [self.example(one) for one in self._read[0][split]]
        return self._examples[split]

    def size(self, example: Example) -> Size:
        return Size(len(example.symbols), 1)

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        symbols = pad_sequence([example.symbols for example in examples], True)
        mask = length_mask(torch.tensor([len(example.symbols) for example in examples]), symbols.shape[1])
        return Batch(symbols, mask, torch.tensor([example.label for example in examples]))

    def typed(self, raw: str | bytes) -> str:
        """A text that a user typed.

        Raises:
            InvalidInput: not a text, or longer than `longest_input`.
        """
        if not isinstance(raw, str):
            raise InvalidInput("expected a sentence as text, not a file")
        if len(raw) > self.longest_input:
            raise InvalidInput(f"expected at most {self.longest_input:,} characters, got {len(raw):,}: shorten it")
        return raw

    def notes(self, example: Example) -> list[str]:
        return list(example.notes)

    def text(self, example: Example) -> str:
        """A sentence as a person reads it."""
        return " ".join(example.words)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        examples = self.examples("test")
        return [self.text(one) for one in examples[:: max(1, len(examples) // max(1, count))][:count]]

    def decode(self, prediction: Chosen) -> str:
        return f"{self.classes[prediction.label]} ({prediction.probabilities[prediction.label]:.2f})"

    def compare(self, example: Example, prediction: Chosen) -> Mapping[str, str]:
        texts = {"sentence": self.text(example), "ours": self.decode(prediction)}
        return {**texts, "right": self.classes[example.label]} if example.label >= 0 else texts

    def answer(self, example: Example) -> Chosen:
        return Chosen(example.label, tuple(float(place == example.label) for place in range(len(self.classes))))

    def score(self, predictions: Sequence[Chosen], examples: Sequence[Example]) -> Score:
        """Accuracy, and that of the most frequent class."""
        count = max(1, len(examples))
        right = sum(ours.label == one.label for ours, one in zip(predictions, examples, strict=True))
        _, most = Counter(one.label for one in examples).most_common(1)[0]
        figures = {
            "accuracy": Figure(100 * right / count, "%"),
            "majority": Figure(100 * most / count, "%", "accuracy of the most frequent class"),
            "sentences": Figure(len(examples)),
        }
        return Score(figures)

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for split in SPLITS:
            digest.update(repr(self._read[0][split]).encode("utf-8"))
        config = self.config
        names = {"reviews": "generated reviews", "mr": "MR", "trec": "TREC", "subj": "SUBJ", "sst2": "SST-2, sentences",
                 "sst5": "SST-5, sentences"}  # fmt: skip
        return {
            "data": config.train.name if config.train is not None else names[config.corpus],
            "sentences": {split: len(self._read[0][split]) for split in SPLITS},
            "classes": list(self.classes),
            "symbols": self.known,
            "sha256": digest.hexdigest(),
        }


class SentencesTask(ClassesTask):
    """Sentences of classes, word by word."""

    config: SentencesConfig

    def __init__(self, config: SentencesConfig, assets: Path | None = None) -> None:
        super().__init__()
        self.config = config
        if assets is None:
            counts = Counter(word for one in self._read[0]["train"] for word in one.words)
            self.symbols = ["", "<unknown>", *sorted(word for word, n in counts.items() if n >= config.fewest)]
            self.classes = self._read[1]
        else:
            kept = read_record(assets / "vocabulary.json", "symbols", "classes")
            self.symbols = [str(one) for one in kept["symbols"]]
            self.classes = self.learned = [str(one) for one in kept["classes"]]
        self.numbers = {word: number for number, word in enumerate(self.symbols)}

    @cached_property
    def _read(self) -> tuple[dict[str, list[Labelled]], Sequence[str]]:
        found, classes = corpus(self.config)
        own = self.learned or classes
        found = renumbered(found, classes, own, self.config.train or self.config.corpus)
        return ({split: lower(rows) for split, rows in found.items()} if self.config.lowercase else found), own

    @property
    def known(self) -> int:
        return len(self.symbols)

    def example(self, one: Labelled) -> Example:
        most = self.config.longest
        deciding = tuple(place for place in one.deciding if place < most)
        return Example(one.words[:most], self.encode(one.words[:most]), one.label, deciding)

    def encode(self, words: Sequence[str]) -> Int[Tensor, " t"]:
        """The symbols of words."""
        return torch.tensor([self.numbers.get(word, UNKNOWN) for word in words], dtype=torch.long)

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        batch = super().collate(examples)
        if generator is None or not self.config.hidden:
            return batch
        hidden = torch.rand(batch.symbols.shape, generator=generator) < self.config.hidden
        return batch._replace(symbols=batch.symbols.masked_fill(hidden & batch.mask, UNKNOWN))

    def read(self, raw: str | bytes) -> Example:
        """A text that a user typed.

        Raises:
            InvalidInput: a text without words, of unknown words only, or longer than `longest_input`.
        """
        text = self.typed(raw)
        words = words_of(text.lower() if self.config.lowercase else text)
        if not words:
            raise InvalidInput("expected a sentence; the input has no word")
        unknown = list(dict.fromkeys(word for word in words if word not in self.numbers))
        if len(unknown) == len(set(words)):
            raise InvalidInput(f"no word of {raw!r} is in the vocabulary of this model")
        most, notes = self.config.longest, []
        if unknown:
            notes.append(f"not in the vocabulary, and read as unknown: {', '.join(unknown)}")
        if len(words) > most:
            notes.append(f"the text has {len(words)} words, of which the first {most} are read")
        return Example(words[:most], self.encode(words[:most]), -1, (), tuple(notes))

    def save(self, folder: Path) -> None:
        data = json.dumps({"symbols": self.symbols, "classes": list(self.classes)}, ensure_ascii=False)
        write_atomically(folder / "vocabulary.json", (data + "\n").encode("utf-8"))

    def check_trained(self, trained: SentencesConfig) -> None:
        """Raise if words are not what they were in training.

        Raises:
            InvalidInput: capitals are treated in another way.
        """
        if self.config.lowercase != trained.lowercase:
            raise InvalidInput(
                f"task.lowercase is {str(trained.lowercase).lower()} in the training of this run; it cannot change now"
            )
