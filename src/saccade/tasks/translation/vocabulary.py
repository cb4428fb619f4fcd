"""Vocabularies of words, byte-pair pieces or characters, learned from the training data only.

Byte-pair pieces: Sennrich et al. 2016, arXiv:1508.07909.

A sentence is split into pieces whose leading space is a mark, so that decoding restores the sentence. An apostrophe
stays with the letters before it ("l'", "don'").
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from saccade.core.errors import InvalidInput, require
from saccade.core.files import write_atomically
from saccade.tasks.translation.parallel_text import OVERRIDE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN, START, END = range(4)
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
SPACE = "▁"
PIECE = rf"{SPACE}?[\p{{L}}\p{{M}}\p{{N}}]+['’]?|{SPACE}?[^{SPACE}\p{{L}}\p{{M}}\p{{N}}]|{SPACE}"
CHARACTER = r"\X"
"""A letter with its combining marks is one."""


class Vocabulary:
    """Converts text to symbols and back."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self.tokenizer = tokenizer
        # "</s>" in a sentence is text, not the end symbol
        self.tokenizer.encode_special_tokens = True

    @classmethod
    def learn(
        cls, sentences: Iterable[str], kind: Literal["bpe", "word", "character"], size: int, lowercase: bool = False
    ) -> "Vocabulary":
        """A vocabulary of at most `size` symbols, including four special ones."""
        tokenizers: Any = require("tokenizers", "text")
        normalizers: Any = require("tokenizers.normalizers", "text")
        pre: Any = require("tokenizers.pre_tokenizers", "text")
        options = {"vocab_size": size, "special_tokens": SPECIAL, "show_progress": False}
        if kind == "bpe":
            model = tokenizers.models.BPE(unk_token=SPECIAL[UNKNOWN])
            trainer = tokenizers.trainers.BpeTrainer(**options, limit_alphabet=size - len(SPECIAL))
        else:
            model = tokenizers.models.WordLevel(unk_token=SPECIAL[UNKNOWN])
            trainer = tokenizers.trainers.WordLevelTrainer(**options)
        tokenizer = tokenizers.Tokenizer(model)
        steps = [normalizers.NFC()] + ([normalizers.Lowercase()] if lowercase else [])
        tokenizer.normalizer = normalizers.Sequence(steps)
        # a first character has no space before it
        scheme, piece = ("never", CHARACTER) if kind == "character" else ("always", PIECE)
        space = pre.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=False)
        tokenizer.pre_tokenizer = pre.Sequence([space, pre.Split(tokenizers.Regex(piece), behavior="isolated")])
        tokenizer.decoder = tokenizers.decoders.Metaspace(replacement=SPACE, prepend_scheme=scheme)
        tokenizer.train_from_iterator(sentences, trainer)
        return cls(tokenizer)

    def __len__(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def encode(self, sentence: str) -> list[int]:
        return list(self.tokenizer.encode(sentence, add_special_tokens=False).ids)

    def encode_all(self, sentences: Sequence[str]) -> list[list[int]]:
        return [list(found.ids) for found in self.tokenizer.encode_batch(list(sentences), add_special_tokens=False)]

    def decode(self, symbols: Sequence[int], unknown: str = SPECIAL[UNKNOWN]) -> str:
        """The sentence. An unknown symbol becomes `unknown`; other special symbols are dropped."""
        kept = [symbol for symbol in symbols if symbol not in (PAD, START, END)]
        pieces = [SPACE + unknown if s == UNKNOWN else str(self.tokenizer.id_to_token(s)) for s in kept]
        return str(self.tokenizer.decoder.decode(pieces))

    def pieces(self, symbols: Sequence[int]) -> list[str]:
        """A label for each symbol, including special ones; "▁" marks a leading space."""
        return [str(self.tokenizer.id_to_token(symbol)) for symbol in symbols]

    def unknown(self, sentence: str) -> list[str]:
        """The parts of a sentence that are not in the vocabulary, as written."""
        found = self.tokenizer.encode(sentence, add_special_tokens=False)
        spans = [span for symbol, span in zip(found.ids, found.offsets, strict=True) if symbol == UNKNOWN]
        return list(dict.fromkeys(sentence[start:stop].strip() or "a space" for start, stop in spans))

    def spans(self, sentence: str) -> list[tuple[int, int]]:
        """The characters of the sentence that each symbol of `encode(sentence)` covers: (start, stop).

        A leading space may be part of a span or a separate symbol; the one before the sentence covers nothing.
        """
        return list(self.tokenizer.encode(sentence, add_special_tokens=False).offsets)

    def save(self, path: Path) -> None:
        write_atomically(path, self.tokenizer.to_str().encode("utf-8"))

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        tokenizers: Any = require("tokenizers", "text")
        if not path.is_file():
            raise InvalidInput(f"{path}: the vocabulary is missing")
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises a bare Exception for an invalid file
            raise InvalidInput(f"{path}: not a vocabulary ({error})") from error


def check_direction(source: Vocabulary, target: Vocabulary, texts: Sequence[tuple[str, str]]) -> None:
    """Check that the pairs do not translate in the opposite direction. A shared vocabulary cannot tell.

    Raises:
        InvalidInput: with the sides swapped, the pairs have a sixth fewer symbols in total and fewer on both sides;
            unknown symbols count twice.
    """
    sides = list(zip(*texts, strict=True))

    def cost(vocabulary: Vocabulary, side: int) -> int:
        found = vocabulary.encode_all(sides[side])
        return sum(len(symbols) + symbols.count(UNKNOWN) for symbols in found)

    straight, swapped = [cost(source, 0), cost(target, 1)], [cost(target, 0), cost(source, 1)]
    both = all(ours > theirs for ours, theirs in zip(straight, swapped, strict=True))
    if both and 5 * sum(straight) > 6 * sum(swapped):
        raise InvalidInput(
            f"the sentences seem to translate in the opposite direction: they have {sum(straight)} symbols of the "
            f"run's vocabularies, but {sum(swapped)} with the sides swapped{OVERRIDE}"
        )
