"""The task of a masked language model: fill in the masked symbols of a text. The metric is the share of the chosen
symbols that are predicted right, over the last tenth of the text, each example with one drawing of masks."""

import copy
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.core.errors import InvalidInput
from saccade.core.files import composed
from saccade.core.masks import length_mask
from saccade.core.task import Figure, Score, Size
from saccade.tasks.masked.config import MaskedConfig
from saccade.tasks.masked.counts import CountModel
from saccade.tasks.masked.masking import Masked, masked
from saccade.tasks.masked.segments import full_sentences, pairs
from saccade.tasks.masked.special import TYPED_MASK, SpecialSymbols
from saccade.tasks.text import TextTask
from saccade.tasks.text.corpus import SPLITS, fingerprint, parts

SHOWN = 60  # symbols of an example that are compared
SEPARATOR = "[SEP]"
"""Typed between two segments."""


class Example(NamedTuple):
    """A framed text."""

    symbols: Int[Tensor, " n"]
    segments: Int[Tensor, " n"]
    follows: bool
    """Whether the second segment follows the first."""
    key: str
    """What the masks are drawn from; "" if they were typed."""


class Batch(NamedTuple):
    symbols: Int[Tensor, "b t"]
    """The texts without masks."""
    inputs: Int[Tensor, "b t"]
    """The texts with masks, as the model reads them."""
    mask: Bool[Tensor, "b t"]
    """False at padding."""
    segments: Int[Tensor, "b t"]
    chosen: Bool[Tensor, "b t"]
    """True at the symbols that are to be predicted."""
    follows: Bool[Tensor, " b"]


class Filled(NamedTuple):
    """An answer."""

    symbols: tuple[int, ...]
    """The framed text with the most probable symbol in each chosen place."""
    nats: float
    """-log p of the right symbols, summed; of a typed text nan."""
    follows: float | None
    """The probability that the second segment follows the first; None without pairs."""


class MaskedTask:
    """A text with masked symbols.

    Args:
        config: the text and its masks.
        assets: a folder with what was learned of it.
        reads: the most symbols that the model reads.
    """

    metric = "masked_accuracy"
    direction: Literal["min", "max"] = "max"
    unit = "%"
    accepts: tuple[str, ...] = ("text",)
    longest_input = 20_000
    """Characters of a typed text."""

    def __init__(self, config: MaskedConfig, assets: Path | None = None, reads: int | None = None) -> None:
        self.config, self.reads = config, reads or config.length
        self.source = TextTask(config.text, assets)
        pieces: Any = self.source.symbols
        self.symbols = SpecialSymbols(pieces)
        self._examples: dict[str, list[Example]] = {}

    def shortened(self, length: int) -> "MaskedTask":
        """The same text in shorter examples."""
        short = copy.copy(self)
        short.config, short._examples = replace(self.config, length=length, early_length=None), {}
        return short

    def lines(self, split: str) -> list[list[int]]:
        """The symbols of each line of a split."""
        text = self.source.text
        span = parts(len(text))[split]
        return self.symbols.lines(text[span.start : span.stop])

    def examples(self, split: str) -> Sequence[Example]:
        """The text of a split, cut into examples; for training `duplicates` times."""
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            copies = (self.config.duplicates or 1) if split == "train" else 1
            lines = self.lines(split)
            self._examples[split] = [one for number in range(copies) for one in self._cut(lines, split, number)]
            if not self._examples[split]:
                raise InvalidInput(f"the {split} part of the text has {len(lines):,} lines; pairs need two or more")
        return self._examples[split]

    def _cut(self, lines: list[list[int]], split: str, number: int) -> list[Example]:
        key = f"{self.config.draw}/{split}/{number}"
        if self.config.examples == "pairs":
            found = pairs(lines, self.config.length - 3, random.Random(key))
            framed = [(self.symbols.framed(one.first, one.second), one.follows) for one in found]
        else:
            framed = [(self.symbols.framed(one), True) for one in full_sentences(lines, self.config.length - 2)]
        return [Example(*both, follows, f"{key}/{n}") for n, (both, follows) in enumerate(framed)]

    def in_pass(self, example: Example, number: int) -> Example:
        """A training example in a pass over the data: with its own masks, unless they are static."""
        return example if self.config.duplicates else example._replace(key=f"{example.key}/{number}")

    def masked(self, example: Example) -> Masked:
        """The example with its masks."""
        if not example.key:
            return Masked(example.symbols, example.symbols == self.symbols.mask)
        return masked(example.symbols, self.symbols, self.config, example.key)

    def size(self, example: Example) -> Size:
        return Size(len(example.symbols), len(example.symbols))

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        found = [self.masked(example) for example in examples]
        lengths = torch.tensor([len(example.symbols) for example in examples])
        symbols, inputs = (
            pad_sequence(rows, True, self.symbols.padding)
            for rows in ([example.symbols for example in examples], [one.inputs for one in found])
        )
        segments = pad_sequence([example.segments for example in examples], True)
        chosen = pad_sequence([one.chosen for one in found], True)
        mask = length_mask(lengths, symbols.shape[1])
        return Batch(symbols, inputs, mask, segments, chosen, torch.tensor([one.follows for one in examples]))

    def read(self, raw: str | bytes) -> Example:
        """A text with [MASK] or <mask> in it; of a model of pairs, also with [SEP] between two segments.

        Raises:
            InvalidInput: an empty text, one without a mask, with several separators, or too long.
        """
        if isinstance(raw, str) and len(raw) <= self.longest_input and not TYPED_MASK.search(raw):
            got = "there is no mask in it" if raw.strip() else "the input is empty"
            raise InvalidInput(
                f'expected a text with [MASK] in place of a symbol, such as "The king is [MASK]."; {got}'
            )
        return self.observe(raw)

    def observe(self, raw: str | bytes) -> Example:
        """A text with or without a mask, otherwise as for `read`."""
        if not isinstance(raw, str):
            raise InvalidInput("expected a text with [MASK] in it, not a file")
        if len(raw) > self.longest_input:
            raise InvalidInput(f"expected at most {self.longest_input:,} characters, got {len(raw):,}: shorten it")
        typed = composed(raw).split(SEPARATOR) if self.config.examples == "pairs" else [composed(raw)]
        if len(typed) > 2 or not all(segment.strip() for segment in typed):
            raise InvalidInput(f"expected one text, or two with {SEPARATOR} between them; got {len(typed)} parts")
        symbols, segments = self.symbols.framed(*map(self.symbols.typed, typed))
        if len(symbols) > self.reads:
            raise InvalidInput(
                f"the text has {len(symbols):,} symbols, special ones included, and the model reads at most "
                f"{self.reads:,}: shorten it"
            )
        return Example(symbols, segments, True, "")

    def notes(self, example: Example) -> list[str]:
        known, found = self.symbols.known(example.symbols), []
        if not known.any():
            found.append("there is nothing but masks; the answer is what is probable in any text")
        unknown = int((example.symbols == self.symbols.unknown).sum()) if self.symbols.unknown is not None else 0
        if unknown:
            name = self.symbols.names[example.symbols[example.symbols == self.symbols.unknown][0]]
            found.append(f"the model does not know {unknown} of the words; it reads {name} in their place")
        return found

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """Lines of the test part, with a mask for one of their words."""
        text = self.source.text
        span = parts(len(text))["test"]
        lines = [line.split() for line in text[span.start : span.stop].split("\n")[1:-1]]
        lines = [words for words in lines if 5 <= len(words) <= 12]
        chosen = lines[:: max(1, len(lines) // max(1, count))][:count]
        return [" ".join([*words[:2], "[MASK]", *words[3:]]) for words in chosen]

    def decode(self, prediction: Filled) -> str:
        text = " ".join(self.symbols.decode(prediction.symbols).split())
        if prediction.follows is None or prediction.symbols.count(self.symbols.separator) < 2:
            return text
        return f"{text} (the second part follows: {100 * prediction.follows:.0f} %)"

    def compare(self, example: Example, prediction: Filled) -> Mapping[str, str]:
        found = self.masked(example)
        places = [place for place in found.chosen.nonzero()[:, 0].tolist() if place < SHOWN]
        own: Sequence[Sequence[int]] = (example.symbols.tolist(), prediction.symbols)
        right, ours = (", ".join(self.symbols.names[row[place]] for place in places) for row in own)
        return {
            "text": " ".join(self.symbols.decode(found.inputs[:SHOWN].tolist()).split()),
            "right": right,
            "ours": ours,
        }

    def replay(self, example: Example, prediction: Filled) -> Example:
        """The text with its masks, as the model read it for its answer."""
        return example

    def labels(self, example: Example) -> Mapping[str, Sequence[str]]:
        """Each symbol, with its mask, as the vocabulary writes it."""
        return {"symbols": [self.symbols.names[symbol] for symbol in self.masked(example).inputs.tolist()]}

    @cached_property
    def counts(self) -> CountModel:
        """The counts of the training part."""
        return CountModel([symbol for line in self.lines("train") for symbol in line], len(self.symbols.names))

    def counted(self, example: Example) -> Sequence[int]:
        """The symbols that the count model predicts in the chosen places; it reads the same masks."""
        found, ordinary = self.masked(example), self.symbols.ordinary

        def neighbour(place: int) -> int | None:
            symbol = int(found.inputs[place])
            return symbol if ordinary[symbol] else None

        def best(place: int) -> int:
            return self.counts.best(neighbour(place - 1), neighbour(place + 1), neighbour(place), self.config)

        return [best(place) for place in found.chosen.nonzero()[:, 0].tolist()]  # never the first or the last

    def score(self, predictions: Sequence[Filled], examples: Sequence[Example]) -> Score:
        """The share of the chosen symbols that are right, beside that of the count model."""
        ours = counted = symbols = 0
        for prediction, example in zip(predictions, examples, strict=True):
            chosen = self.masked(example).chosen
            right = example.symbols[chosen]
            ours += int((torch.tensor(prediction.symbols)[chosen] == right).sum())
            counted += int((torch.tensor(self.counted(example)) == right).sum())
            symbols += len(right)
        share, of_counts = (100 * right / max(1, symbols) for right in (ours, counted))
        nats = sum(prediction.nats for prediction in predictions) / max(1, symbols)
        figures = {
            "masked_accuracy": Figure(share, "%", "masked accuracy"),
            "count_accuracy": Figure(of_counts, "%", "accuracy of counts between both neighbours"),
            "above_counts": Figure(share - of_counts, "points", "masked accuracy above that of counts"),
            "perplexity": Figure(math.exp(min(700.0, nats)), name="perplexity of a masked symbol"),
            "symbols": Figure(symbols, name="masked symbols"),
        }
        if self.config.examples == "pairs":
            said = [(one.follows or 0.0) > 0.5 for one in predictions]
            share = 100 * sum(a == b.follows for a, b in zip(said, examples, strict=True)) / len(examples)
            figures["next_accuracy"] = Figure(share, "%", "accuracy of which segment follows")
        signature = f"{symbols:,} of the symbols of {len(examples):,} examples, the same for the counts"
        return Score({**figures, "signature": Figure(signature, name="signature")})

    def describe(self) -> dict[str, Any]:
        sizes = {split: len(self.examples(split)) for split in SPLITS}
        files = ", ".join(path.name for path in self.config.file)
        return {
            "data": files or "tinyshakespeare",
            "symbols": len(self.symbols.names),
            "examples": sizes,
            "sha256": fingerprint(self.source.text),
        }

    def save(self, folder: Path) -> None:
        self.source.save(folder)

    def check_trained(self, trained: MaskedConfig) -> None:
        """Raise if the symbols are not those of the training.

        Raises:
            InvalidInput: another kind of symbols.
        """
        self.source.check_trained(trained.text)
