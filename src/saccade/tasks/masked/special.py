"""Pieces of words with the special symbols that a masked language model needs: padding, the first symbol, the separator
and the mask. Vocabularies of BERT and RoBERTa have them; to others they are added at the end."""

import itertools
import re
from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.tasks.text.pieces import BytePieceSymbols, WordPieceSymbols

NAMES = {
    "padding": ("[PAD]", "<pad>"), "first": ("[CLS]", "<s>"), "separator": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}  # fmt: skip
KNOWN = {name for pair in NAMES.values() for name in pair}
ROLES = {"padding": "pad_token", "first": "cls_token", "separator": "sep_token", "mask": "mask_token"}
"""The roles in Hugging Face's library."""
TYPED_MASK = re.compile(r"\[MASK\]|<mask>")


class SpecialSymbols:
    """Pieces and special symbols.

    Args:
        pieces: the pieces of words.
    """

    def __init__(self, pieces: BytePieceSymbols | WordPieceSymbols) -> None:
        self.pieces, self.names = pieces, list(pieces.names)
        self.words = isinstance(pieces, WordPieceSymbols)  # whose text has a space between words
        there = {name: number for number, name in enumerate(self.names) if name in KNOWN}
        special = {**pieces.special, **there}
        for pair in NAMES.values():
            if not special.keys() & set(pair):
                name = pair[0 if self.words else 1]
                special[name] = len(self.names)
                self.names.append(name)
        self.numbers = {role: next(special[name] for name in pair if name in special) for role, pair in NAMES.items()}
        self.ordinary = torch.ones(len(self.names), dtype=torch.bool)
        """False at special symbols."""
        self.ordinary[list(special.values())] = False
        if not self.ordinary.any():
            raise InvalidInput("expected pieces of words; all symbols of this vocabulary are special")

    @property
    def padding(self) -> int:
        return self.numbers["padding"]

    @property
    def separator(self) -> int:
        return self.numbers["separator"]

    @property
    def mask(self) -> int:
        return self.numbers["mask"]

    @cached_property
    def unknown(self) -> int | None:
        """The symbol of a word without pieces; None if there is none."""
        found = [number for name, number in self.pieces.special.items() if name in ("[UNK]", "<unk>")]
        return found[0] if found else None

    @property
    def published(self) -> dict[str, str]:
        """The names of the special symbols by their roles in Hugging Face's library."""
        found = {role: self.names[self.numbers[name]] for name, role in ROLES.items()}
        return found if self.unknown is None else {**found, "unk_token": self.names[self.unknown]}

    def lines(self, text: str) -> list[list[int]]:
        """The symbols of each line of a text; lines without symbols are left out."""
        found = self.pieces.tokenizer.encode_batch(text.splitlines(keepends=True), add_special_tokens=False)
        return [line.ids for line in found if line.ids]

    def typed(self, text: str) -> list[int]:
        """The symbols of a text, with the mask where [MASK] or <mask> is typed."""
        found: list[int] = []
        parts = TYPED_MASK.split(text)
        for number, part in enumerate(parts):
            if not self.words and number < len(parts) - 1:
                part = part.rstrip()  # the piece in the mask's place begins with the space
            found += [*([self.mask] if number else []), *self.pieces.encode(part).tolist()]
        return found

    def framed(self, *segments: Sequence[int]) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """The first symbol, then each segment with a separator behind it; and the number of each symbol's segment."""
        symbols, numbers = [self.numbers["first"]], [0]
        for number, segment in enumerate(segments):
            symbols += [*segment, self.separator]
            numbers += [number] * (len(segment) + 1)
        return torch.tensor(symbols), torch.tensor(numbers)

    def decode(self, symbols: Sequence[int]) -> str:
        """The text of framed symbols; masks and separators between segments are written by name."""
        found = []
        last = len(symbols) - 1
        for ordinary, run in itertools.groupby(enumerate(symbols), lambda pair: bool(self.ordinary[pair[1]])):
            pairs = list(run)
            if ordinary:
                found.append(self.pieces.decode([symbol for _, symbol in pairs]))
                continue
            hidden = (self.padding, self.numbers["first"])
            names = [self.names[s] for n, s in pairs if s not in hidden and (s != self.separator or n < last)]
            found += names if self.words else [f" {name}" for name in names]
        return (" " if self.words else "").join(found).strip()

    def known(self, symbols: Int[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        """True at symbols that are not special."""
        return self.ordinary[symbols]
