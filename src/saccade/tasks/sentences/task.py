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
from saccade.tasks.sentences.config import SentencesConfig
from saccade.tasks.sentences.corpora import CLASSES, Labelled, lower, own, published, words_of
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


class SentencesTask:
    """Sentences of classes. The metric is the share of sentences whose class is right, in %."""

    metric = "accuracy"
    direction: Literal["max"] = "max"
    unit = "%"
    accepts = ("text",)
    longest_input = 20_000
    """Characters of a text."""

    def __init__(self, config: SentencesConfig, assets: Path | None = None) -> None:
        self.config = config
        if assets is None:
            counts = Counter(word for one in self._read[0]["train"] for word in one.words)
            self.symbols = ["", "<unknown>", *sorted(word for word, n in counts.items() if n >= config.fewest)]
            self.classes: Sequence[str] = self._read[1]
        else:
            kept = read_record(assets / "vocabulary.json", "symbols", "classes")
            self.symbols, self.classes = [str(one) for one in kept["symbols"]], [str(one) for one in kept["classes"]]
        self.numbers = {word: number for number, word in enumerate(self.symbols)}
        self._examples: dict[str, list[Example]] = {}

    @cached_property
    def _read(self) -> tuple[dict[str, list[Labelled]], Sequence[str]]:
        """The sentences by split, and the classes."""
        config = self.config
        classes: Sequence[str] = CLASSES[config.corpus]
        if config.train is not None:
            paths = {"train": config.train, "validation": config.validation, "test": config.test}
            found, classes = own(paths, config.draw)
        elif config.folder is not None:
            found = published(config.corpus, config.folder, config.draw)
        else:
            found = {
                split: [Labelled(one.words, int(one.positive), one.deciding) for one in reviews]
                for split, reviews in generated(config.reviews, config.draw).items()
            }
        return ({split: lower(rows) for split, rows in found.items()} if config.lowercase else found), classes

    def examples(self, split: str) -> Sequence[Example]:
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            most = self.config.longest
            self._examples[split] = [
                Example(one.words[:most], self.encode(one.words[:most]), one.label,
                        tuple(place for place in one.deciding if place < most))
                for one in self._read[0][split]
            ]  # fmt: skip
        return self._examples[split]

    def encode(self, words: Sequence[str]) -> Int[Tensor, " t"]:
        """The symbols of words."""
        return torch.tensor([self.numbers.get(word, UNKNOWN) for word in words], dtype=torch.long)

    def size(self, example: Example) -> Size:
        return Size(len(example.symbols), 1)

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        symbols = pad_sequence([example.symbols for example in examples], True)
        mask = length_mask(torch.tensor([len(example.symbols) for example in examples]), symbols.shape[1])
        if generator is not None and self.config.hidden:
            hidden = torch.rand(symbols.shape, generator=generator) < self.config.hidden
            symbols = symbols.masked_fill(hidden & mask, UNKNOWN)
        return Batch(symbols, mask, torch.tensor([example.label for example in examples]))

    def read(self, raw: str | bytes) -> Example:
        """A text that a user typed.

        Raises:
            InvalidInput: a text without words, of unknown words only, or longer than `longest_input`.
        """
        if not isinstance(raw, str):
            raise InvalidInput("expected a sentence as text, not a file")
        if len(raw) > self.longest_input:
            raise InvalidInput(f"expected at most {self.longest_input:,} characters, got {len(raw):,}: shorten it")
        words = words_of(raw.lower() if self.config.lowercase else raw)
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

    def notes(self, example: Example) -> list[str]:
        return list(example.notes)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        examples = self.examples("test")
        return [" ".join(one.words) for one in examples[:: max(1, len(examples) // max(1, count))][:count]]

    def decode(self, prediction: Chosen) -> str:
        return f"{self.classes[prediction.label]} ({prediction.probabilities[prediction.label]:.2f})"

    def compare(self, example: Example, prediction: Chosen) -> Mapping[str, str]:
        texts = {"sentence": " ".join(example.words), "ours": self.decode(prediction)}
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
            "symbols": len(self.symbols),
            "sha256": digest.hexdigest(),
        }

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
