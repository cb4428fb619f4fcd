"""The task of named entities: a tag for each word; F1 of entities and of surfaces."""

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
from saccade.tasks.entities.config import EntitiesConfig
from saccade.tasks.entities.conll import Tagged, embedded, read, spans
from saccade.tasks.entities.tokens import words_of

SPLITS = ("train", "validation", "test")
UNKNOWN = 1


class Example(NamedTuple):
    words: tuple[str, ...]
    symbols: Int[Tensor, " t"]
    letters: Int[Tensor, "t c"]
    """The characters of each word; 0 after the last."""
    tags: Int[Tensor, " t"]
    """-1 if a user typed the sentence."""
    notes: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Padded sentences. Symbol 0 is padding, 1 an unknown word or character."""

    symbols: Int[Tensor, "b t"]
    letters: Int[Tensor, "b t c"]
    mask: Bool[Tensor, "b t"]
    tags: Int[Tensor, "b t"]
    words: tuple[tuple[str, ...], ...]


class EntitiesTask:
    """Named entities. The metric is the F1 of entities: start, end and kind must be right, as conlleval counts."""

    metric = "entity_f1"
    direction: Literal["max"] = "max"
    unit = "%"
    accepts = ("text",)
    longest_input = 5_000
    """Characters of a text."""

    def __init__(self, config: EntitiesConfig, assets: Path | None = None) -> None:
        self.config = config
        if assets is None:
            rows = self._read["train"]
            self.symbols = ["", "<unknown>", *sorted({word.lower() for one in rows for word in one.words})]
            self.alphabet = [
                "",
                "<unknown>",
                *sorted({letter for one in rows for word in one.words for letter in word}),
            ]
            kinds = sorted({tag[2:] for one in rows for tag in one.tags if tag != "O"})
            self.tags = ["O", *(f"{mark}-{kind}" for kind in kinds for mark in "BI")]
        else:
            kept = read_record(assets / "vocabulary.json", "symbols", "alphabet", "tags")
            self.symbols, self.alphabet, self.tags = (
                list(map(str, kept[key])) for key in ("symbols", "alphabet", "tags")
            )
        self._words = {word: number for number, word in enumerate(self.symbols)}
        self._letters = {letter: number for number, letter in enumerate(self.alphabet)}
        self._tags = {tag: number for number, tag in enumerate(self.tags)}
        self._examples: dict[str, list[Example]] = {}

    @cached_property
    def _read(self) -> dict[str, list[Tagged]]:
        own = {"train": self.config.train, "validation": self.config.validation, "test": self.config.test}
        found = {split: embedded(split) if path is None else read(path) for split, path in own.items()}
        found["train"] = spread(found["train"], self.config.share)
        return {split: rows[: self.config.limit] for split, rows in found.items()}

    @cached_property
    def _once(self) -> Bool[Tensor, " v"]:
        """True at the words that training has only once."""
        counts = Counter(word.lower() for one in self._read["train"] for word in one.words)
        return torch.tensor([counts[word] == 1 for word in self.symbols])

    def examples(self, split: str) -> Sequence[Example]:
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            self._examples[split] = [self._example(one.words, one.tags) for one in self._read[split]]
        return self._examples[split]

    def _example(self, words: Sequence[str], tags: Sequence[str] | None) -> Example:
        symbols = torch.tensor([self._words.get(word.lower(), UNKNOWN) for word in words])
        most = self.config.letters
        rows = [torch.tensor([self._letters.get(letter, UNKNOWN) for letter in word[:most]]) for word in words]
        if unknown := [tag for tag in tags or () if tag not in self._tags]:
            raise InvalidInput(f"the training data have no {unknown[0][2:]!r}, which {' '.join(words)[:60]!r} has")
        found = [-1] * len(words) if tags is None else [self._tags[tag] for tag in tags]
        return Example(tuple(words), symbols, pad_sequence(rows, True), torch.tensor(found))

    def size(self, example: Example) -> Size:
        return Size(len(example.words), len(example.words))

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        symbols = pad_sequence([one.symbols for one in examples], True)
        tags = pad_sequence([one.tags for one in examples], True)
        mask = length_mask(torch.tensor([len(one.words) for one in examples]), symbols.shape[1])
        widest = max(one.letters.shape[1] for one in examples)
        letters = torch.zeros(*symbols.shape, widest, dtype=torch.long)
        for row, one in zip(letters, examples, strict=True):
            row[: one.letters.shape[0], : one.letters.shape[1]] = one.letters
        if generator is not None and self.config.hidden:
            drawn = torch.rand(symbols.shape, generator=generator) < self.config.hidden
            symbols = symbols.masked_fill(drawn & self._once[symbols], UNKNOWN)
        return Batch(symbols, letters, mask, tags, tuple(one.words for one in examples))

    def read(self, raw: str | bytes) -> Example:
        """A sentence that a user typed.

        Raises:
            InvalidInput: no word, or a text longer than `longest_input`.
        """
        if not isinstance(raw, str):
            raise InvalidInput("expected a sentence as text, not a file")
        if len(raw) > self.longest_input:
            raise InvalidInput(f"expected at most {self.longest_input:,} characters, got {len(raw):,}: shorten it")
        if not (words := words_of(raw)):
            raise InvalidInput("expected a sentence; the input has no word")
        unknown = sorted({letter for word in words for letter in word if letter not in self._letters})
        notes = (f"not among the characters of the training: {' '.join(unknown)}",) if unknown else ()
        return self._example(words, None)._replace(notes=notes)

    def notes(self, example: Example) -> list[str]:
        return list(example.notes)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        rows = [one for one in self._read["test"] if spans(one.tags)]
        return [" ".join(one.words) for one in rows[:: max(1, len(rows) // max(1, count))][:count]]

    def names(self, tags: Sequence[int]) -> list[str]:
        """Tags as a person reads them."""
        return [self.tags[tag] for tag in tags]

    def decode(self, prediction: tuple[tuple[str, ...], tuple[int, ...]]) -> str:
        """The sentence, as the configuration says."""
        if self.config.answers == "brackets":
            return self.bracketed(prediction)
        words, tags = prediction[0], self.names(prediction[1])
        return "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True))

    def bracketed(self, prediction: tuple[tuple[str, ...], tuple[int, ...]]) -> str:
        """The sentence in one line, with its entities in brackets."""
        words, tags = list(prediction[0]), prediction[1]
        for first, end, kind in spans(self.names(tags)):
            words[first] = f"[{kind} {words[first]}"
            words[end - 1] += "]"
        return " ".join(words)

    def compare(self, example: Example, prediction: Any) -> Mapping[str, str]:
        texts = {"sentence": " ".join(example.words), "ours": self.bracketed(prediction)}
        right = self.answer(example)
        return texts if -1 in right[1] else {**texts, "right": self.bracketed(right)}

    def answer(self, example: Example) -> tuple[tuple[str, ...], tuple[int, ...]]:
        return example.words, tuple(example.tags.tolist())

    def score(self, predictions: Sequence[Any], examples: Sequence[Example]) -> Score:
        """Precision, recall and F1 of entities; F1 of surfaces: each distinct pair of a name and a kind counts once
        (Derczynski et al. 2017); and the recall of names that training does not have, if there are any."""
        known = {name for one in self._read["train"] for name, _ in surfaces(one.words, one.tags)}
        found, right, both = 0, 0, 0
        ours, theirs = set[tuple[str, str]](), set[tuple[str, str]]()
        unseen, recalled = 0, 0
        for (_, tags), example in zip(predictions, examples, strict=True):
            names, given = self.names(tags), self.names(example.tags.tolist())
            one, other = set(spans(names)), set(spans(given))
            found, right, both = found + len(one), right + len(other), both + len(one & other)
            ours |= set(surfaces(example.words, names))
            theirs |= set(surfaces(example.words, given))
            new = {span for span in other if " ".join(example.words[span.first : span.end]) not in known}
            unseen, recalled = unseen + len(new), recalled + len(new & one)
        entity, surface = f1(found, right, both), f1(len(ours), len(theirs), len(ours & theirs))
        figures = {
            "entity_f1": Figure(entity[2], "%", "F1 of entities"),
            "precision": Figure(entity[0], "%"),
            "recall": Figure(entity[1], "%"),
            "surface_f1": Figure(surface[2], "%", "F1 of surfaces"),
        }
        if unseen:
            figures["unseen_recall"] = Figure(100 * recalled / unseen, "%", "recall of unseen names", unseen)
        return Score(figures)

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for split in SPLITS:
            digest.update(repr(self._read[split]).encode("utf-8"))
        return {
            "data": "WNUT-17" if self.config.train is None else self.config.train.name,
            "sentences": {split: len(self._read[split]) for split in SPLITS},
            "symbols": len(self.symbols),
            "tags": len(self.tags),
            "sha256": digest.hexdigest(),
        }

    def save(self, folder: Path) -> None:
        kept = {"symbols": self.symbols, "alphabet": self.alphabet, "tags": self.tags}
        write_atomically(folder / "vocabulary.json", (json.dumps(kept, ensure_ascii=False) + "\n").encode("utf-8"))

    def check_trained(self, trained: EntitiesConfig) -> None:
        """Nothing of the configuration changes what was learned."""


def spread(rows: Sequence[Tagged], share: float) -> list[Tagged]:
    """A share of the sentences, at least one, at equal distances."""
    count = max(1, round(share * len(rows)))
    return [rows[place * len(rows) // count] for place in range(count)]


def surfaces(words: Sequence[str], tags: Sequence[str]) -> list[tuple[str, str]]:
    """The names of a sentence, each with its kind."""
    return [(" ".join(words[first:end]), kind) for first, end, kind in spans(tags)]


def f1(found: int, right: int, both: int) -> tuple[float, float, float]:
    """Precision, recall and their harmonic mean, in %; 0 where there is nothing."""
    precision, recall = 100 * both / max(1, found), 100 * both / max(1, right)
    return precision, recall, 2 * precision * recall / (precision + recall) if both else 0.0
