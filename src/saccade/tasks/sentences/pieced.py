"""Sentences in pieces of words, between the special symbols with which BERT reads them: [CLS] ... [SEP]."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxtyping import Int
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.files import composed, read_record, write_atomically
from saccade.tasks.masked.special import SpecialSymbols
from saccade.tasks.sentences.config import PiecesConfig
from saccade.tasks.sentences.corpora import Labelled, renumbered
from saccade.tasks.sentences.task import Chosen, ClassesTask, Example, corpus
from saccade.tasks.text.pieces import restored
from saccade.tasks.text.vocabulary import learned


class PiecedTask(ClassesTask):
    """Sentences of classes in pieces of words. `words` of an example are its pieces, as the vocabulary writes them.

    Args:
        config: the sentences and their pieces.
        assets: a folder with what was learned of them.
        reads: the most symbols that the model reads.
    """

    config: PiecesConfig

    def __init__(self, config: PiecesConfig, assets: Path | None = None, reads: int | None = None) -> None:
        super().__init__()
        self.config, chosen = config, config.symbols
        self.longest = min(config.longest, reads or config.longest)
        if assets is not None:
            kept = read_record(assets / "pieces.json", "symbols", "classes")
            pieces: Any = restored(kept["symbols"])
            self.classes = self.learned = [str(one) for one in kept["classes"]]
        else:
            text = "" if chosen.vocabulary else "\n".join(" ".join(one.words) for one in self._read[0]["train"])
            pieces = learned(chosen, text, whole=True)
            self.classes = config.classes or self._read[1]
        self.symbols = SpecialSymbols(pieces)

    @cached_property
    def _read(self) -> tuple[dict[str, list[Labelled]], Sequence[str]]:
        found, classes = corpus(self.config)
        own = self.learned or self.config.classes or classes
        return renumbered(found, classes, own, self.config.train or self.config.corpus), own

    @property
    def known(self) -> int:
        return len(self.symbols.names)

    def framed(self, text: str) -> tuple[Int[Tensor, " n"], int]:
        """The symbols of a text, as many as are read; and the number of those that are not."""
        pieces = self.symbols.pieces.encode(text).tolist()
        most = self.longest - 2
        return self.symbols.framed(pieces[:most])[0], max(0, len(pieces) - most)

    def example(self, one: Labelled) -> Example:
        symbols, _ = self.framed(" ".join(one.words))
        return Example(self.named(symbols), symbols, one.label)

    def named(self, symbols: Int[Tensor, " n"]) -> tuple[str, ...]:
        return tuple(self.symbols.names[symbol] for symbol in symbols.tolist())

    def text(self, example: Example) -> str:
        return self.symbols.decode(example.symbols.tolist())

    def examples_to_type(self, count: int) -> list[str | bytes]:
        rows = self._read[0]["test"]
        return [" ".join(one.words) for one in rows[:: max(1, len(rows) // max(1, count))][:count]]

    def read(self, raw: str | bytes) -> Example:
        """A text that a user typed.

        Raises:
            InvalidInput: a text without a piece that is known, or longer than `longest_input`.
        """
        symbols, more = self.framed(composed(self.typed(raw)))
        if len(symbols) == 2:
            raise InvalidInput("expected a sentence; the input has no word")
        unknown = symbols.tolist().count(self.symbols.unknown)
        if unknown == len(symbols) - 2:
            raise InvalidInput(f"no part of {raw!r} is in the vocabulary of this model")
        notes = []
        if unknown:
            notes.append(f"the model does not know {unknown} of the words")
        if more:
            notes.append(
                f"the text has {more + self.longest - 2} pieces, of which the first {self.longest - 2} are read"
            )
        return Example(self.named(symbols), symbols, -1, (), tuple(notes))

    def replay(self, example: Example, prediction: Chosen) -> Example:
        """The sentence: the answer is not written symbol by symbol."""
        return example

    def labels(self, example: Example) -> Mapping[str, Sequence[str]]:
        """Each piece, as the vocabulary writes it."""
        return {"symbols": list(example.words)}

    def save(self, folder: Path) -> None:
        kept = {"symbols": self.symbols.pieces.plain(), "classes": list(self.classes)}
        write_atomically(folder / "pieces.json", (json.dumps(kept, ensure_ascii=False) + "\n").encode("utf-8"))

    def check_trained(self, trained: PiecesConfig) -> None:
        """Raise if pieces are not what they were in training.

        Raises:
            InvalidInput: other pieces are chosen.
        """
        if self.config.symbols != trained.symbols:
            raise InvalidInput("task.symbols is of the training of this run; it cannot change now")
