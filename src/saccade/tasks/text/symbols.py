"""The symbols of a text. A scheme encodes a text as numbers and decodes them, without a loss; another scheme, such as
pieces of words, is another class with these members."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.tasks.text import pieces, vocabulary
from saccade.tasks.text.config import BytePieces, Bytes, Characters, Lines, Scheme, UnigramPieces, WordPieces


@runtime_checkable
class Symbols(Protocol):
    """A scheme."""

    @property
    def names(self) -> Sequence[str]:
        """Each symbol as a person reads it."""

    def encode(self, text: str) -> Int[Tensor, " n"]:
        """The symbols of a text.

        Raises:
            InvalidInput: something in it is no symbol.
        """

    def decode(self, symbols: Sequence[int]) -> str:
        """The text of some symbols."""

    def lengths(self, symbols: Sequence[int]) -> tuple[int, int]:
        """The characters, and the bytes in UTF-8, of some symbols; the sum over parts is that of the whole."""

    def plain(self) -> dict[str, Any]:
        """What `restored` makes the scheme of again, as JSON values."""


def texts_of(scheme: Symbols, symbols: Sequence[int]) -> list[str]:
    """The text of each symbol after the one before it, such as a space and a word; together that of `decode`, but for
    characters of several symbols."""
    found = [scheme.decode(symbols[:1])]
    for before, symbol in pairwise(symbols):
        alone, both = scheme.decode([before]), scheme.decode([before, symbol])
        found.append(both.removeprefix(alone) if both.startswith(alone) else scheme.decode([symbol]))
    return found


class CharacterSymbols:
    """The characters of an alphabet."""

    def __init__(self, alphabet: str) -> None:
        self.names = list(alphabet)
        self._codes = codes_of(alphabet)  # sorted

    def encode(self, text: str) -> Int[Tensor, " n"]:
        codes = codes_of(text)
        places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        if (missing := codes[self._codes[places] != codes]).size:
            unknown = ", ".join(repr(chr(code)) for code in dict.fromkeys(missing.tolist()))
            raise InvalidInput(f"not among the {len(self.names)} characters that this model knows: {unknown}")
        return torch.from_numpy(places.astype(np.int64))

    def decode(self, symbols: Sequence[int]) -> str:
        return "".join(self.names[symbol] for symbol in symbols)

    def lengths(self, symbols: Sequence[int]) -> tuple[int, int]:
        text = self.decode(symbols)
        return len(text), len(text.encode("utf-8", "surrogatepass"))

    def plain(self) -> dict[str, Any]:
        return {"kind": "characters", "alphabet": "".join(self.names)}


class ByteSymbols:
    """The bytes of UTF-8."""

    names = tuple(chr(byte) if 32 <= byte < 127 else "\n" if byte == 10 else f"<{byte:02x}>" for byte in range(256))

    def encode(self, text: str) -> Int[Tensor, " n"]:
        return torch.tensor(list(text.encode("utf-8", "surrogatepass")), dtype=torch.long)

    def decode(self, symbols: Sequence[int]) -> str:
        return bytes(symbols).decode("utf-8", "replace")

    def lengths(self, symbols: Sequence[int]) -> tuple[int, int]:
        return sum(byte & 0xC0 != 0x80 for byte in symbols), len(symbols)  # a character has one byte of another form

    def plain(self) -> dict[str, Any]:
        return {"kind": "bytes"}


class LineSymbols:
    """The distinct lines of a text, each with the line break after it."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.names = list(lines)
        self._numbers = {line: number for number, line in enumerate(self.names)}

    def encode(self, text: str) -> Int[Tensor, " n"]:
        lines = text.removesuffix("\n").split("\n")
        unknown = next((line for line in lines if line not in self._numbers), None)
        if unknown is not None:
            raise InvalidInput(f"the line {unknown!r} is not among the {len(self.names)} that this model knows")
        return torch.tensor([self._numbers[line] for line in lines])

    def decode(self, symbols: Sequence[int]) -> str:
        return "".join(f"{self.names[symbol]}\n" for symbol in symbols)

    def lengths(self, symbols: Sequence[int]) -> tuple[int, int]:
        text = self.decode(symbols)
        return len(text), len(text.encode("utf-8", "surrogatepass"))

    def plain(self) -> dict[str, Any]:
        return {"kind": "lines", "lines": self.names}


def codes_of(text: str) -> Any:
    """The code point of each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def learned(chosen: Scheme, text: str) -> Symbols:
    """The scheme of a text. Characters and lines are those of the whole text, held-out parts included, so that every
    symbol has a probability. Pieces are learned from the training part, or read from files.

    Raises:
        InvalidInput: a file of pieces that cannot be read.
        MissingExtra: pieces need the tokenizers of the extra "text".
    """
    match chosen:
        case Characters():
            return CharacterSymbols("".join(map(chr, np.unique(codes_of(text)).tolist())))
        case Bytes():
            return ByteSymbols()
        case Lines():
            return LineSymbols(sorted(set(text.removesuffix("\n").split("\n"))))
        case BytePieces() | WordPieces():
            return vocabulary.learned(chosen, text)
        case UnigramPieces():
            return vocabulary.unigrams_of(chosen.tokenizer)


def restored(plain: Mapping[str, Any]) -> Symbols:
    """The scheme of what `plain` gave."""
    match plain["kind"]:
        case "characters":
            return CharacterSymbols(plain["alphabet"])
        case "bytes":
            return ByteSymbols()
        case "lines":
            return LineSymbols(plain["lines"])
        case "byte-pieces" | "word-pieces" | "unigram-pieces":
            return pieces.restored(plain)
        case other:
            kinds = "characters, bytes, lines, byte-pieces, word-pieces or unigram-pieces"
            raise InvalidInput(f"expected symbols of the kind {kinds}, not {other!r}")
