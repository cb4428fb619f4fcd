"""From captions to words and symbols."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from saccade.core.files import composed

PAD, UNKNOWN, START, END = range(4)
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
EACH = "\u3005\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # scripts without spaces: each sign counts as a word
WORD = re.compile(rf"[{EACH}]|[^\W_{EACH}]+(?:'[^\W\d_{EACH}]+)?")


def words_of(text: str) -> list[str]:
    """The words in lower case, without punctuation; of ASCII text those that match [a-z0-9]+('[a-z]+)?."""
    return WORD.findall(composed(text).lower().replace("’", "'"))


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
