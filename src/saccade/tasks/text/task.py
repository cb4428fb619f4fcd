"""The task of a text: predict each symbol from those before it; bits a character.

The test is over the last tenth: every symbol counts once, with at least `context` symbols before it (fewer only at the
beginning of the whole text).
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.core.errors import InvalidInput
from saccade.core.files import composed, read_record, write_atomically
from saccade.core.masks import length_mask
from saccade.core.task import Figure, Score, Size
from saccade.tasks.text.config import TextConfig
from saccade.tasks.text.corpus import SPLITS, fingerprint, parts, text_of
from saccade.tasks.text.pieces import Pieces
from saccade.tasks.text.symbols import Symbols, learned, restored

BREAK = " ⏎ "
"""A line break, where an answer is one line."""


class Example(NamedTuple):
    """Symbols, of which the last `scored` count; a text that a user typed counts none, and is continued."""

    symbols: Int[Tensor, " n"]
    scored: int
    characters: int
    """Characters of the scored symbols, and their bytes in UTF-8."""
    size: int
    number: int = 0
    """The number of the sample, where several are drawn without a text."""


class Batch(NamedTuple):
    symbols: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]
    """False at padding."""
    scored: Bool[Tensor, "b t"]
    """True at the symbols that are predicted; the first never is."""
    numbers: Int[Tensor, " b"]
    state: Float[Tensor, "b *l"] | None
    """What the window before left; None at the beginning of a text."""


class Written(NamedTuple):
    """An answer: the text as it was continued, and the nats of the scored symbols."""

    symbols: tuple[int, ...]
    """Text and continuation; () if nothing was to be continued."""
    nats: float
    """Nan if nothing was scored."""


class TextTask:
    """One long text. The metric is bits a character, by whatever symbols it is predicted.

    Args:
        config: the text and its symbols.
        assets: a folder with what was learned of it.
        reads: the most symbols that the model reads at once; None: any number.
    """

    metric = "bits_per_character"
    direction: Literal["min", "max"] = "min"
    unit = "bits"
    accepts: tuple[str, ...] = ("text",)
    longest_input = 20_000
    """Characters of a text to continue."""

    def __init__(self, config: TextConfig, assets: Path | None = None, reads: int | None = None) -> None:
        self.config, self.reads = config, reads
        self.symbols: Symbols = (
            learned(config.symbols, self.text) if assets is None else restored(read_record(assets / "symbols.json"))
        )

    @cached_property
    def text(self) -> str:
        """The whole text."""
        return text_of(self.config.file)[: self.config.limit]

    @cached_property
    def encoded(self) -> tuple[Int[Tensor, " n"], Mapping[str, range]]:
        """The whole text in symbols, and the positions of each split.

        Pieces of words are cut from each split of the text alone, so that the splits are those of its characters. The
        other symbols are counted, since a line or a byte cannot be cut.
        """
        if not isinstance(self.symbols, Pieces):
            numbers = self.symbols.encode(self.text)
            return numbers, parts(len(numbers))
        found, spans, first = [], {}, 0
        for split, span in parts(len(self.text)).items():
            found.append(self.symbols.encode(self.text[span.start : span.stop]))
            spans[split] = range(first, first + len(found[-1]))
            first += len(found[-1])
        return torch.cat(found), spans

    @cached_property
    def sizes(self) -> Int[Tensor, "n 2"] | None:
        """The characters and the bytes of each symbol, as the text has them; None if the symbols say so themselves."""
        if not isinstance(self.symbols, Pieces) or self.symbols.exact:
            return None
        spans = parts(len(self.text)).values()
        return torch.cat([self.symbols.sizes(self.text[span.start : span.stop]) for span in spans])

    @property
    def numbers(self) -> Int[Tensor, " n"]:
        """The whole text in symbols."""
        return self.encoded[0]

    @property
    def spans(self) -> Mapping[str, range]:
        """The positions of each split among them."""
        return self.encoded[1]

    def part(self, split: str) -> Int[Tensor, " n"]:
        """The symbols of a split."""
        span = self.spans[split]
        return self.numbers[span.start : span.stop]

    def examples(self, split: str) -> Sequence[Example]:
        """The text of a split in parts of `context` symbols, each with as many before it; none for training, which
        reads windows."""
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split == "train":
            return []
        span, context, found = self.spans[split], self.config.context, []
        end = min(span.stop, span.start + self.config.validated) if split == "validation" else span.stop
        for start in range(max(1, span.start), end, context):
            stop = min(start + context, end)
            own = self.numbers[max(0, start - context) : stop]
            if self.sizes is None:
                characters, size = self.symbols.lengths(self.numbers[start:stop].tolist())
            else:
                characters, size = self.sizes[start:stop].sum(0).tolist()
            found.append(Example(own, stop - start, characters, size))
        return found

    def size(self, example: Example) -> Size:
        """A text to continue is read; one that is scored is written, from nothing."""
        length = len(example.symbols)
        return Size(0 if example.scored else length, length)

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        symbols = pad_sequence([example.symbols for example in examples], True)
        lengths = torch.tensor([len(example.symbols) for example in examples])
        mask = length_mask(lengths, symbols.shape[1])
        unscored = torch.tensor([len(example.symbols) - example.scored for example in examples])
        scored = mask & ~length_mask(unscored, symbols.shape[1])
        return Batch(symbols, mask, scored, torch.tensor([example.number for example in examples]), None)

    def read(self, raw: str | bytes) -> Example:
        """A text to continue.

        Raises:
            InvalidInput: an empty one, one of unknown characters, or one longer than `longest_input`.
        """
        if not isinstance(raw, str):
            raise InvalidInput("expected a text to continue, not a file")
        if not raw:
            raise InvalidInput("expected the beginning of a text, such as its first word; the input is empty")
        if len(raw) > self.longest_input:
            raise InvalidInput(f"expected at most {self.longest_input:,} characters, got {len(raw):,}: shorten it")
        symbols = self.symbols.encode(composed(raw))
        if not len(symbols):
            raise InvalidInput("expected the beginning of a text, such as its first word; there is no symbol in it")
        return Example(symbols, 0, 0, 0)

    def notes(self, example: Example) -> list[str]:
        size = len(example.symbols)
        if self.reads is None or size <= self.reads:
            return []
        return [f"the text has {size:,} symbols; the model reads at most {self.reads:,} at once, the last ones"]

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """Lines of the test part, without what follows a colon."""
        span = parts(len(self.text))["test"]
        lines = [line for line in self.text[span.start : span.stop].split("\n")[1:-1] if line.strip()]
        chosen = lines[:: max(1, len(lines) // max(1, count))][:count]
        return [line[: 1 + line.index(":")] if ":" in line else line[:60] for line in chosen]

    def decode(self, prediction: Written) -> str:
        if not prediction.symbols:
            return f"{prediction.nats / math.log(2):.1f} bits"
        return BREAK.join(self.symbols.decode(prediction.symbols).split("\n"))

    def compare(self, example: Example, prediction: Written) -> Mapping[str, str]:
        text = self.symbols.decode(example.symbols[-min(example.scored or 80, 80) :].tolist())
        return {"text": BREAK.join(text.split("\n")), "ours": self.decode(prediction)}

    def labels(self, symbols: Sequence[int]) -> list[str]:
        """Each symbol as a person reads it."""
        return [self.symbols.names[symbol] for symbol in symbols]

    def score(self, predictions: Sequence[Written], examples: Sequence[Example]) -> Score:
        """Bits a character and a byte, and perplexity a symbol, over all scored symbols."""
        symbols = sum(example.scored for example in examples)
        nats = sum(prediction.nats for prediction, one in zip(predictions, examples, strict=True) if one.scored)
        characters, size = (max(1, sum(one)) for one in zip(*((x.characters, x.size) for x in examples), strict=True))
        bits = nats / math.log(2)
        least = min((len(one.symbols) - one.scored for one in examples if one.scored), default=0)
        return Score({
            "bits_per_character": Figure(bits / characters, "bits", "bits per character"),
            "bits_per_byte": Figure(bits / size, "bits", "bits per byte"),
            "perplexity": Figure(math.exp(min(700.0, nats / max(1, symbols))), name="perplexity of a symbol"),
            "symbols": Figure(symbols, name="symbols, each with its context before it"),
            "signature": Figure(f"{symbols:,} symbols, each once, {least:,} or more before it", name="signature"),
        })  # fmt: skip

    def describe(self) -> dict[str, Any]:
        files = ", ".join(path.name for path in self.config.file)
        sizes = {split: len(span) for split, span in self.spans.items()}
        return {
            "data": files or "tinyshakespeare",
            "symbols": len(self.symbols.names),
            "sizes": sizes,
            "context": self.config.context,
            "sha256": fingerprint(self.text),
        }

    def save(self, folder: Path) -> None:
        data = json.dumps(self.symbols.plain(), ensure_ascii=False)
        write_atomically(folder / "symbols.json", (data + "\n").encode("utf-8"))

    def check_trained(self, trained: TextConfig) -> None:
        """Raise if the symbols are not those of the training.

        Raises:
            InvalidInput: another kind of symbols.
        """
        if self.config.symbols != trained.symbols:
            now, then = self.config.symbols.name, trained.symbols.name
            change = f"it cannot be {now} now" if now != then else "its options cannot change now"
            raise InvalidInput(f"task.symbols is {then} in the training of this run; {change}")
