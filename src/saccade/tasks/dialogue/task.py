"""The task of dialogues: predict each turn from those before it; perplexity of a word."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.files import read_record, write_atomically
from saccade.core.task import Score, Size
from saccade.tasks.dialogue.config import DialogueConfig
from saccade.tasks.dialogue.score import score
from saccade.tasks.dialogue.turns import Turn, play, text_of, typed

PAD, UNKNOWN, START, END = range(4)
SPECIAL = ("<pad>", "<unknown>", "<start>", "<end>")
SPLITS = ("train", "validation", "test")
Said = tuple[tuple[int, ...], ...]
"""Turns, each with its symbols between start and end; of a turn that was cut there is no end."""


class Example(NamedTuple):
    """A dialogue."""

    turns: Said
    others: Said = ()
    """As many turns of other dialogues, in their order."""
    typed: bool = False
    """True if a user typed it, and asks for the next turn."""
    notes: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Dialogues: turns with start and end, padded with 0. A dialogue with fewer turns has empty ones after them."""

    turns: Int[Tensor, "b m t"]
    others: Int[Tensor, "b m u"] | None
    """Turns of other dialogues; None in training."""
    typed: tuple[bool, ...]


class Judged(NamedTuple):
    """Minus the log-probability of each turn in nats, given the turns before it, given none, and given as many of
    other dialogues; of a typed dialogue the next turn."""

    nats: tuple[float, ...]
    without: tuple[float, ...] = ()
    """() if the model has no context."""
    shuffled: tuple[float, ...] = ()
    answer: tuple[int, ...] = ()


class DialogueTask:
    """Dialogues. The metric is the perplexity of a word, marks and the ends of turns included, over all turns."""

    metric = "perplexity"
    direction: Literal["min"] = "min"
    unit = ""
    accepts = ("text",)
    longest_input = 20_000
    """Characters of a dialogue."""

    def __init__(self, config: DialogueConfig, assets: Path | None = None) -> None:
        self.config = config
        if assets is None:
            counts = Counter(word for one in self._read["train"] for turn in one for word in turn.words)
            self.words = [*SPECIAL, *sorted(word for word, count in counts.items() if count >= config.fewest)]
        else:
            self.words = [str(word) for word in read_record(assets / "vocabulary.json", "words")["words"]]
        self.numbers = {word: number for number, word in enumerate(self.words)}
        self._examples: dict[str, list[Example]] = {}

    @cached_property
    def _read(self) -> dict[str, list[list[Turn]]]:
        found = play(self.config.file, self.config.apart)
        return {split: dialogues[: self.config.limit] for split, dialogues in found.items()}

    def examples(self, split: str) -> Sequence[Example]:
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            said = [tuple(self.encode(turn.words) for turn in one) for one in self._read[split]]
            others = others_of(said, random.Random(f"{self.config.draw}/{split}"))
            self._examples[split] = [Example(own, other) for own, other in zip(said, others, strict=True)]
        return self._examples[split]

    def encode(self, words: Sequence[str]) -> tuple[int, ...]:
        """The symbols of a turn, with start and end; without the end if it is cut."""
        most = self.config.longest
        own = [self.numbers.get(word, UNKNOWN) for word in words[:most]]
        return (START, *own, END) if len(words) <= most else (START, *own)

    def size(self, example: Example) -> Size:
        symbols = sum(len(turn) - 1 for turn in example.turns)
        return Size(symbols, symbols)

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        """Other dialogues are left out with a generator, that is, in training."""
        others = None if generator is not None else padded([example.others for example in examples])
        return Batch(padded([example.turns for example in examples]), others, tuple(one.typed for one in examples))

    def score(self, predictions: Sequence[Judged], examples: Sequence[Example]) -> Score:
        """Perplexity, and what the context is worth."""
        counts = [[len(turn) - 1 for turn in example.turns] for example in examples]
        unknown = sum(turn.count(UNKNOWN) for example in examples for turn in example.turns)
        return score(predictions, counts, unknown, self.config.draw)

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256(repr([self._read[split] for split in SPLITS]).encode("utf-8"))
        return {
            "data": "tinyshakespeare, turns" if self.config.file is None else self.config.file.name,
            "dialogues": {split: len(self._read[split]) for split in SPLITS},
            "turns": {split: sum(map(len, self._read[split])) for split in SPLITS},
            "words": len(self.words) - len(SPECIAL),
            "sha256": digest.hexdigest(),
        }

    def read(self, raw: str | bytes) -> Example:
        """A dialogue that a user typed: a turn in each line, or between slashes.

        Raises:
            InvalidInput: a dialogue without words, of unknown words only, or longer than `longest_input`.
        """
        if not isinstance(raw, str):
            raise InvalidInput("expected a dialogue as text, a turn in each line, not a file")
        if len(raw) > self.longest_input:
            raise InvalidInput(f"expected at most {self.longest_input:,} characters, got {len(raw):,}: shorten it")
        turns, named = typed(raw)
        if not turns:
            raise InvalidInput("expected a dialogue, a turn in each line or between ' / '; the input has no word")
        every = [word for turn in turns for word in turn]
        unknown = list(dict.fromkeys(word for word in every if word not in self.numbers))
        if len(unknown) == len(set(every)):
            raise InvalidInput("no word of the dialogue is in the vocabulary of this model")
        notes = ["names of speakers are not read"] if named else []
        if unknown:
            notes.append(f"not in the vocabulary, and read as unknown: {', '.join(unknown)}")
        if any(len(turn) > self.config.longest for turn in turns):
            notes.append(f"of each turn the first {self.config.longest} words are read")
        return Example(tuple(map(self.encode, turns)), (), True, tuple(notes))

    def notes(self, example: Example) -> list[str]:
        return list(example.notes)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """The first turns of dialogues."""
        chosen = [one for one in self._read["test"] if len(one) > 2] or self._read["test"]
        return [
            " / ".join(text_of(turn.words[: self.config.longest]) for turn in one[:3])
            for one in chosen[:: max(1, len(chosen) // max(1, count))][:count]
        ]

    def said(self, symbols: Sequence[int]) -> str:
        """A turn as a person reads it."""
        return text_of([self.words[symbol] for symbol in symbols if symbol not in (PAD, START, END)])

    def decode(self, prediction: Judged) -> str:
        return f"{sum(prediction.nats):.1f} nats" if prediction.nats else self.said(prediction.answer)

    def compare(self, example: Example, prediction: Judged) -> Mapping[str, str]:
        return {"last": self.said(example.turns[-1]), "ours": self.decode(prediction)}

    def save(self, folder: Path) -> None:
        data = json.dumps({"words": self.words}, ensure_ascii=False)
        write_atomically(folder / "vocabulary.json", (data + "\n").encode("utf-8"))

    def check_trained(self, trained: DialogueConfig) -> None:
        """Nothing of the configuration changes what was learned."""


def others_of(said: Sequence[Said], draw: random.Random) -> list[Said]:
    """For each dialogue as many turns of others: those of the next in a seeded circle, and of further ones as long as
    turns are missing. () if there is no other."""
    circle = list(range(len(said)))
    draw.shuffle(circle)
    found: list[Said] = [()] * len(said)
    for place, row in enumerate(circle):
        own: list[tuple[int, ...]] = []
        for step in range(1, len(circle)):
            if len(own) < len(said[row]):
                own += said[circle[(place + step) % len(circle)]]
        found[row] = tuple(own[: len(said[row])])
    return found


def padded(dialogues: Sequence[Said]) -> Int[Tensor, "b m t"]:
    turns = max([1, *map(len, dialogues)])
    longest = max((len(turn) for one in dialogues for turn in one), default=2)
    found = torch.zeros(len(dialogues), turns, longest, dtype=torch.long)
    for row, one in enumerate(dialogues):
        for place, turn in enumerate(one):
            found[row, place, : len(turn)] = torch.tensor(turn)
    return found
