"""What tasks whose answers are sentences have in common: a vocabulary, tokens of captions, answers a person reads."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from saccade.tasks.captions.batch import Said
from saccade.tasks.captions.words import END, PAD, SPECIAL, START, UNKNOWN, Words


class Tokens(NamedTuple):
    """As in `batch.Batch`."""

    tokens: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]
    references: Int[Tensor, "b r t"]


class Sentences:
    """The part of a task that deals with words.

    Args:
        vocabulary: the words.
        longest: the most words of a caption; longer ones are cut, and have no end.
    """

    pad, unknown, start, end = PAD, UNKNOWN, START, END

    def __init__(self, vocabulary: Words, longest: int) -> None:
        self.vocabulary, self.longest = vocabulary, longest

    @property
    def words(self) -> tuple[str, ...]:
        """The word of each symbol; the first four are padding, unknown, start and end."""
        return self.vocabulary.words

    def symbols(self, caption: str) -> tuple[int, ...]:
        """A caption, as words separated by spaces, without start and end."""
        return self.vocabulary.encode(caption.split()[: self.longest])

    def is_cut(self, caption: str) -> bool:
        """Whether a caption has more words than `symbols` keeps."""
        return len(caption.split()) > self.longest

    def tokens(self, examples: Sequence[Any], judged: bool) -> Tokens:
        """The captions to write, and if they are judged, all references."""
        tokens = padded([framed(example.symbols, example.cut) for example in examples])
        most = max(len(example.references) for example in examples) if judged else 0
        if not most:
            return Tokens(tokens, tokens != PAD, tokens.new_zeros(len(examples), 0, tokens.shape[1]))
        rows = []
        for example in examples:
            rows += [framed(self.symbols(caption), self.is_cut(caption)) for caption in example.references]
            rows += [[PAD]] * (most - len(example.references))
        return Tokens(tokens, tokens != PAD, padded(rows).unflatten(0, (len(examples), most)))

    def decode(self, prediction: Said) -> str:
        """The caption."""
        return " ".join(self.vocabulary.decode(prediction.symbols))

    def proposals(self, prediction: Said) -> list[tuple[str, float]]:
        """The caption and the further ones, with their log-probabilities."""
        found = ((prediction.symbols, prediction.log_prob), *prediction.others)
        return [(" ".join(self.vocabulary.decode(symbols)), log_prob) for symbols, log_prob in found]

    def compare(self, example: Any, prediction: Said) -> Mapping[str, str]:
        return {"ours": self.decode(prediction), "references": " | ".join(example.references) or "?"}

    def answer(self, example: Any) -> Said:
        return Said(example.symbols)

    def replay(self, example: Any, prediction: Said) -> Any:
        return example._replace(symbols=tuple(prediction.symbols), cut=False)

    def labels(self, example: Any) -> Mapping[str, Sequence[str]]:
        return {"target": [*self.vocabulary.decode(example.symbols), SPECIAL[END]]}


def framed(symbols: Sequence[int], cut: bool) -> list[int]:
    """Start, the symbols, and the end unless the caption was cut."""
    return [START, *symbols] if cut else [START, *symbols, END]


def padded(rows: Sequence[Sequence[int]]) -> Int[Tensor, "b t"]:
    """The rows as one matrix, padded on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows], dtype=torch.long)
