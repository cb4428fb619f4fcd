"""The task of words: predict each word of a sentence from those before it, and from those after it; perplexity."""

import hashlib
import json
import math
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
from saccade.tasks.monolingual.config import MonolingualConfig
from saccade.tasks.monolingual.corpus import SPLITS, Words, sentences, tokens

UNKNOWN, BEGIN, END = 0, 1, 2


class Example(NamedTuple):
    words: Words
    symbols: Int[Tensor, " t"]
    """What each word counts as, between the marks of the beginning and the end."""
    notes: tuple[str, ...] = ()


class Batch(NamedTuple):
    words: tuple[Words, ...]
    symbols: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]
    """False at padding."""


class Surprise(NamedTuple):
    """How unlikely each word of a sentence was, in nats."""

    words: Words
    forward: tuple[float, ...]
    """Given the words before it; the last is of the end of the sentence."""
    backward: tuple[float, ...]
    """Given the words after it; the first is of the beginning of the sentence."""


class MonolingualTask:
    """Sentences. The metric is the perplexity of a word, the mean of both directions."""

    metric = "perplexity"
    direction: Literal["min"] = "min"
    unit = ""
    accepts = ("text",)
    longest_input = 20_000
    """Characters of a text."""

    def __init__(self, config: MonolingualConfig, assets: Path | None = None) -> None:
        self.config = config
        if assets is None:
            counts = Counter(word for row in self.sentences["train"] for word in row)
            self.symbols = [
                "<unknown>",
                "<begin>",
                "<end>",
                *sorted(w for w, n in counts.items() if n >= config.fewest),
            ]
            self.alphabet = sorted({letter for word in counts for letter in word})
        else:
            kept = read_record(assets / "vocabulary.json", "symbols", "alphabet")
            self.symbols, self.alphabet = [str(one) for one in kept["symbols"]], [str(one) for one in kept["alphabet"]]
        self._numbers = {word: number for number, word in enumerate(self.symbols) if number > END}
        self._examples: dict[str, list[Example]] = {}

    @cached_property
    def sentences(self) -> dict[str, list[Words]]:
        """The words of the sentences of each split."""
        return sentences(self.config)

    def examples(self, split: str) -> Sequence[Example]:
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            self._examples[split] = [self._example(row) for row in self.sentences[split]]
        return self._examples[split]

    def _example(self, words: Words, notes: tuple[str, ...] = ()) -> Example:
        own = [self._numbers.get(word, UNKNOWN) for word in words]
        return Example(words, torch.tensor([BEGIN, *own, END]), notes)

    def size(self, example: Example) -> Size:
        return Size(len(example.symbols), len(example.symbols))

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        symbols = pad_sequence([example.symbols for example in examples], True)
        lengths = torch.tensor([len(example.symbols) for example in examples])
        return Batch(tuple(one.words for one in examples), symbols, length_mask(lengths, symbols.shape[1]))

    def read(self, raw: str | bytes) -> Example:
        """A sentence that a user typed.

        Raises:
            InvalidInput: no word, more words than `longest`, or a text longer than `longest_input`.
        """
        if not isinstance(raw, str):
            raise InvalidInput("expected a sentence as text, not a file")
        if len(raw) > self.longest_input:
            raise InvalidInput(f"expected at most {self.longest_input:,} characters, got {len(raw):,}: shorten it")
        if not (words := tuple(tokens(raw, self.config))):
            raise InvalidInput("expected a sentence; the input has no word")
        if len(words) > self.config.longest:
            raise InvalidInput(
                f"expected at most {self.config.longest} words, got {len(words)}: type one sentence at a time, or "
                f"--task.longest {len(words)}"
            )
        return self._example(words, tuple(self._notes(words)))

    def _notes(self, words: Words) -> list[str]:
        different, most = list(dict.fromkeys(words)), self.config.letters - 2
        unknown = [word for word in different if word not in self._numbers]
        new = sorted({letter for word in words for letter in word} - set(self.alphabet))
        long = [word for word in different if len(word.encode("utf-8", "surrogatepass")) > most]
        notes = []
        if unknown:
            notes.append(f"predicted as the unknown word: {', '.join(map(cut, unknown))}")
        if new:
            notes.append(f"not among the characters of the training: {' '.join(new)}")
        if long:
            notes.append(f"only the first {most} bytes are read of {', '.join(map(cut, long))}")
        return notes

    def notes(self, example: Example) -> list[str]:
        return list(example.notes)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        rows = [row for row in self.sentences["test"] if len(row) <= 30]
        return [" ".join(row) for row in rows[:: max(1, len(rows) // max(1, count))][:count]]

    def decode(self, prediction: Surprise) -> str:
        """The perplexities of the sentence, and of each word forward and backward."""
        forward, backward = (perplexity(sum(way) / len(way)) for way in (prediction.forward, prediction.backward))
        pairs = zip(prediction.words, prediction.forward[:-1], prediction.backward[1:], strict=True)
        said = [f"{word} {perplexity(one)}/{perplexity(other)}" for word, one, other in pairs]
        return f"perplexity {forward} forward, {backward} backward: {', '.join(said)}"

    def compare(self, example: Example, prediction: Surprise) -> Mapping[str, str]:
        return {"sentence": " ".join(example.words), "ours": self.decode(prediction)}

    def score(self, predictions: Sequence[Surprise], examples: Sequence[Example]) -> Score:
        """Perplexity a word, marks included, of each direction and their mean; and the share of unknown words."""
        words = sum(len(one.words) for one in examples)
        count = max(1, words + len(examples))
        forward = math.exp(min(700.0, sum(sum(ours.forward) for ours in predictions) / count))
        backward = math.exp(min(700.0, sum(sum(ours.backward) for ours in predictions) / count))
        unknown = sum(one.symbols.tolist().count(UNKNOWN) for one in examples)
        return Score({
            "perplexity": Figure((forward + backward) / 2, name="perplexity, the mean of both directions"),
            "forward_perplexity": Figure(forward),
            "backward_perplexity": Figure(backward),
            "unknown": Figure(100 * unknown / max(1, words), "%", "unknown words"),
            "words": Figure(words),
        })  # fmt: skip

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for split in SPLITS:
            digest.update(repr(self.sentences[split]).encode("utf-8", "surrogatepass"))
        return {
            "data": ", ".join(path.name for path in self.config.train) or "Tatoeba's English sentences",
            "sentences": {split: len(self.sentences[split]) for split in SPLITS},
            "symbols": len(self.symbols),
            "sha256": digest.hexdigest(),
        }

    def save(self, folder: Path) -> None:
        data = json.dumps({"symbols": self.symbols, "alphabet": self.alphabet}, ensure_ascii=False)
        write_atomically(folder / "vocabulary.json", (data + "\n").encode("utf-8"))

    def check_trained(self, trained: MonolingualConfig) -> None:
        """Nothing of the configuration changes what was learned."""


def cut(word: str) -> str:
    """A word as a note names it."""
    return word if len(word) <= 30 else f"{word[:29]}…"


def perplexity(nats: float) -> str:
    value = math.exp(min(700.0, nats))
    return f"{value:.1f}" if value < 99.95 else f"{value:,.0f}" if value < 999_999.5 else f"{value:.1e}"
