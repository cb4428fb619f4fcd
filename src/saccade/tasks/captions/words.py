"""From captions to words and symbols."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from saccade.core.files import composed

PAD, UNKNOWN, START, END = range(4)
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
EACH = "\u3005\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # scripts without spaces: each sign counts as a word
BLOCKS = (*range(0x300, 0x3000), *range(0xA600, 0xAC00), *range(0xFB00, 0xFE30))  # where signs may be marks


@cache
def pattern() -> re.Pattern[str]:
    """A word. Marks, such as vowel signs and accents, continue it."""
    marks = "".join(sign for sign in map(chr, BLOCKS) if unicodedata.category(sign)[0] == "M")
    first, letter = rf"[^\W_{EACH}]", rf"[^\W\d_{EACH}]"
    return re.compile(rf"[{EACH}]|{first}(?:{first}|[{marks}])*(?:'{letter}(?:{letter}|[{marks}])*)?")


def words_of(text: str) -> list[str]:
    """The words in lower case, without punctuation; of ASCII text those that match [a-z0-9]+('[a-z]+)?."""
    small = composed(text).lower().replace("i\u0307", "i")  # of the Turkish capital I with a dot
    return pattern().findall(small.replace("’", "'"))


class Words:
    """A vocabulary of whole words.

    Args:
        words: the words, most frequent first; their symbols follow the four special ones.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = (*SPECIAL, *words)
        self._symbols = {word: symbol for symbol, word in enumerate(words, start=len(SPECIAL))}

    @classmethod
    def learn(cls, captions: Iterable[str], rarest: int, most: int) -> "Words":
        """The words that occur at least `rarest` times, at most `most` of them.

        Args:
            captions: words separated by spaces.
        """
        counts = Counter(word for caption in captions for word in caption.split())
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls([word for word in ranked[:most] if counts[word] >= rarest])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, words: Iterable[str]) -> tuple[int, ...]:
        return tuple(self._symbols.get(word, UNKNOWN) for word in words)

    def decode(self, symbols: Iterable[int]) -> list[str]:
        """The words; special symbols are dropped, except the unknown one, <unk>."""
        return [self.words[symbol] for symbol in symbols if symbol not in (PAD, START, END)]
