"""Pieces of words as symbols, by the `tokenizers` library.

Byte-level pieces (Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019): bytes, and the most frequent sequences
of them; every text has an encoding, which is decoded without a loss. WordPiece (Devlin et al. 2019, arXiv:1810.04805):
the longest pieces of each word from its beginning; "##" marks those that continue one. Unigrams (Kudo 2018,
arXiv:1804.10959): the likeliest cut, as SentencePiece makes it; "▁" marks a space.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from saccade.core.errors import InvalidInput, require

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CONTINUES, UNKNOWN, SPACE = "##", "[UNK]", "▁"
BERT = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")
VISIBLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]  # bytes that vocab.json writes as Latin-1
ALPHABET = dict(zip(VISIBLE, map(chr, VISIBLE), strict=True))
ALPHABET |= {byte: chr(256 + n) for n, byte in enumerate(sorted(set(range(256)) - set(VISIBLE)))}
BYTES = {letter: byte for byte, letter in ALPHABET.items()}
"""The byte of each letter of vocab.json; a space is "Ġ"."""


class Pieces:
    """What both kinds share.

    Args:
        tokenizer: the pieces, and how a text is cut.
    """

    kind = ""
    exact = False
    """Whether every text is decoded without a loss, so that the pieces alone say how long it is."""
    by_lines = True
    """Whether a text may be cut before a line break and a letter, where a piece begins in any case."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self.tokenizer = tokenizer
        self.tokenizer.encode_special_tokens = True  # "[SEP]" in a text is text
        numbers = sorted((number, piece) for piece, number in tokenizer.get_vocab(with_added_tokens=True).items())
        if [number for number, _ in numbers] != list(range(len(numbers))):
            raise InvalidInput(f"expected pieces numbered from 0 to {len(numbers) - 1}, each number once")
        self.names = [piece for _, piece in numbers]
        """Each piece as the vocabulary writes it."""

    @cached_property
    def special(self) -> dict[str, int]:
        """The numbers of pieces that stand for no text, such as "[MASK]" or "<|endoftext|>"."""
        forms = re.compile(r"\[(PAD|UNK|CLS|SEP|MASK)\]|<\|?\w+\|?>")
        return {name: number for number, name in enumerate(self.names) if forms.fullmatch(name)}

    def encode(self, text: str) -> Int[Tensor, " n"]:
        _, found = self._lines(text)
        return torch.tensor([number for line in found for number in line.ids], dtype=torch.long)

    def sizes(self, text: str) -> Int[Tensor, "n 2"]:
        """The characters and the bytes of a text that each of its symbols stands for, with those that no symbol shows,
        such as spaces, before it; those after the last symbol are its own."""
        lines, found = self._lines(text)
        starts = np.cumsum([0, *map(len, lines[:-1])])
        shown = [start + end for start, line in zip(starts, found, strict=True) for _, end in line.offsets]
        ends = np.array(shown, np.int64)
        ends[-1:] = len(text)
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        width = 1 + (codes >= 1 << 7) + (codes >= 1 << 11) + (codes >= 1 << 16)  # bytes in UTF-8
        before = np.cumsum([0, *width.tolist()])
        return torch.from_numpy(np.diff(np.stack([ends, before[ends]], 1), axis=0, prepend=0))

    def _lines(self, text: str) -> tuple[list[str], Any]:
        """The parts of a text, which are encoded in parallel, and what they are encoded as."""
        lines = re.split(r"(?=\n\S)", text) if self.by_lines else [text]
        return lines, self.tokenizer.encode_batch(lines, add_special_tokens=False)

    def lengths(self, symbols: Sequence[int]) -> tuple[int, int]:
        rows = self._sizes[np.asarray(symbols, dtype=np.int64)]
        characters, size = rows.reshape(-1, 2).sum(0).tolist()
        return characters, size

    @cached_property
    def _sizes(self) -> Any:
        """The characters and the bytes of each piece."""
        return np.array([self.size_of(name) for name in self.names])

    def decode(self, symbols: Sequence[int]) -> str:
        raise NotImplementedError

    def size_of(self, name: str) -> tuple[int, int]:
        raise NotImplementedError

    def plain(self) -> dict[str, Any]:
        return {"kind": self.kind, "tokenizer": json.loads(self.tokenizer.to_str())}


class BytePieceSymbols(Pieces):
    """Sequences of bytes."""

    kind = "byte-pieces"
    exact = True

    def __init__(self, tokenizer: "Tokenizer") -> None:
        super().__init__(tokenizer)
        missing = set(BYTES) - set(self.names)
        if missing:
            raise InvalidInput(
                f"expected a piece for each of the 256 bytes, as in GPT-2's vocab.json; {len(missing)} are missing, "
                f"such as {min(missing)!r}"
            )

    def decode(self, symbols: Sequence[int]) -> str:
        return b"".join(map(self.raw, (self.names[symbol] for symbol in symbols))).decode("utf-8", "replace")

    def raw(self, name: str) -> bytes:
        """The bytes of a piece; a special one is written as it is named."""
        if name in self.special or any(letter not in BYTES for letter in name):
            return name.encode("utf-8")
        return bytes(BYTES[letter] for letter in name)

    def size_of(self, name: str) -> tuple[int, int]:
        raw = self.raw(name)
        return sum(byte & 0xC0 != 0x80 for byte in raw), len(raw)  # a character has one byte of another form


class WordPieceSymbols(Pieces):
    """Words and pieces of words. A text is decoded in small letters if it was read so, with single spaces; an unknown
    word is lost. A piece that begins a word counts as many characters as it has and the space before it."""

    kind = "word-pieces"

    def decode(self, symbols: Sequence[int]) -> str:
        text = " ".join(self.names[symbol] for symbol in symbols)
        return text.replace(f" {CONTINUES}", "").removeprefix(CONTINUES)

    def size_of(self, name: str) -> tuple[int, int]:
        text = name.removeprefix(CONTINUES) if name.startswith(CONTINUES) else f" {name}"
        return len(text), len(text.encode("utf-8"))


class UnigramSymbols(Pieces):
    """Pieces with the space before them. A text is decoded with single spaces; an unknown part is lost."""

    kind = "unigram-pieces"
    by_lines = False

    def decode(self, symbols: Sequence[int]) -> str:
        return "".join(self.names[symbol] for symbol in symbols).replace(SPACE, " ")

    def size_of(self, name: str) -> tuple[int, int]:
        text = name.replace(SPACE, " ")
        return len(text), len(text.encode("utf-8"))


KINDS: Mapping[str, type[Pieces]] = {one.kind: one for one in (BytePieceSymbols, WordPieceSymbols, UnigramSymbols)}


def byte_level(model: Any) -> "Tokenizer":
    """A tokenizer that cuts a text into words and numbers with the space before them, as GPT-2's."""
    tokenizers: Any = require("tokenizers", "text")
    found = tokenizers.Tokenizer(model)
    found.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = tokenizers.decoders.ByteLevel()
    return found  # type: ignore[no-any-return]


def word_level(model: Any, lowercase: bool) -> "Tokenizer":
    """A tokenizer that cuts a text into words and punctuation, as BERT's."""
    tokenizers: Any = require("tokenizers", "text")
    found = tokenizers.Tokenizer(model)
    found.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)
    found.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    found.decoder = tokenizers.decoders.WordPiece(prefix=CONTINUES)
    return found  # type: ignore[no-any-return]


def restored(plain: Mapping[str, Any]) -> Pieces:
    """The pieces of what `plain` gave.

    Raises:
        InvalidInput: damaged.
    """
    tokenizers: Any = require("tokenizers", "text")
    try:
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(plain["tokenizer"]))
    except Exception as error:  # the library raises a bare Exception
        raise InvalidInput(f"not pieces that saccade wrote ({error})") from error
    return KINDS[plain["kind"]](tokenizer)
