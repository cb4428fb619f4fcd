"""A symbol predicted from counts of it between its two neighbours, to compare a masked language model with.

    P(x | l, r) = (c(l x r) + n(l . r) Q(x | l, r)) / (c(l . r) + n(l . r)),    Q(x | l, r) ~ P(x | l) P(x | r) / P(x)

c counts in the training text; n(l . r) is the number of distinct symbols between l and r (Witten & Bell 1991,
doi:10.1109/18.87000). P(x | l) and P(x | r) back off to P(x) in the same way. A neighbour that is masked is not known.
"""

from typing import Any

import numpy as np

from saccade.tasks.masked.config import MaskedConfig


class Table:
    """How often each symbol occurs in each context."""

    def __init__(self, contexts: Any, symbols: Any, size: int) -> None:
        pairs, self.counts = np.unique(contexts * size + symbols, return_counts=True)
        self.contexts, self.symbols = pairs // size, pairs % size

    def mixed(self, context: int, below: Any) -> Any:
        """The probabilities (v,) of symbols in this context, with those of a shorter context mixed in."""
        first, last = np.searchsorted(self.contexts, [context, context + 1])
        counts, found = self.counts[first:last], (last - first) * below
        if first == last:
            return below
        found[self.symbols[first:last]] += counts
        return found / (counts.sum() + last - first)


class CountModel:
    """Counts of a text.

    Args:
        symbols: the text.
        size: number of symbols of the vocabulary.
    """

    def __init__(self, symbols: Any, size: int) -> None:
        text = np.asarray(symbols, dtype=np.int64)
        self.size = size
        self.alone = (np.bincount(text, minlength=size) + 1.0) / (len(text) + size)
        self.after, self.before = Table(text[:-1], text[1:], size), Table(text[1:], text[:-1], size)
        self.between = Table(text[:-2] * size + text[2:], text[1:-1], size)

    def probabilities(self, left: int | None, right: int | None) -> Any:
        """P(x | l, r), (v,); a neighbour that is not known is None."""
        after = self.alone if left is None else self.after.mixed(left, self.alone)
        before = self.alone if right is None else self.before.mixed(right, self.alone)
        either = after * before / self.alone
        either /= either.sum()
        return either if left is None or right is None else self.between.mixed(left * self.size + right, either)

    def best(self, left: int | None, right: int | None, shown: int | None, config: MaskedConfig) -> int:
        """The most probable symbol in a place, given its neighbours and the symbol that is shown there, which may be
        the right one that was kept, or a random one; None: the mask."""
        found = self.probabilities(left, right)
        if shown is not None:
            kept = 1 - config.masked - config.replaced
            found = found * (config.replaced / self.size + kept * (np.arange(self.size) == shown))
        return int(found.argmax())
