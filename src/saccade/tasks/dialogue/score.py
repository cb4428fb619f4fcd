"""The perplexity of turns, and what their context is worth, with bootstrap intervals.

    gain = sum of (nats without the context - nats with it) / words

The intervals are by bootstrap of whole dialogues, since the turns of a dialogue are not independent.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.core.task import Figure, Score, Series
from saccade.tasks.bootstrap import interval

PLACES = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 1_000_000))
"""Turns before a turn, from and to, for which the gain is averaged."""


def score(predictions: Sequence[Any], counts: Sequence[Sequence[int]], unknown: int, seed: int) -> Score:
    """The score of dialogues.

    Args:
        predictions: the nats of the turns of each dialogue.
        counts: the words of its turns, their ends included.
        unknown: how many of them are the unknown word.
        seed: of the bootstrap.
    """
    words = np.array([float(sum(own)) for own in counts])
    nats = np.array([sum(one.nats) for one in predictions])
    figures = {
        "perplexity": Figure(perplexity(nats, words), name="perplexity of a word"),
        "nats": Figure(float(nats.sum() / words.sum()), "nats", "nats a word"),
        "words": Figure(int(words.sum())),
        "unknown": Figure(100 * unknown / float(words.sum()), "%", "unknown words"),
    }
    series = {}
    for key, what in (("without", "without context"), ("shuffled", "with the context of other dialogues")):
        if not all(getattr(one, key) for one in predictions):
            continue
        other = np.array([sum(getattr(one, key)) for one in predictions])
        gains = other - nats
        low, high = interval(np.stack([gains, words], 1), lambda sums: float(sums[0] / sums[1]), seed)
        figures |= {
            f"perplexity_{key}": Figure(perplexity(other, words), name=f"perplexity {what}"),
            f"gain_{key}": Figure(float(gains.sum() / words.sum()), "nats", f"nats a word lost {what}"),
            f"gain_{key}_low": Figure(low, "nats", "95 % interval from"),
            f"gain_{key}_high": Figure(high, "nats", "to"),
        }
        if (found := by_place(predictions, counts, key)) is not None:
            series[f"gain_{key}_by_place"] = found
    return Score(figures, series)


def perplexity(nats: NDArray[np.float64], words: NDArray[np.float64]) -> float:
    return math.exp(min(700.0, float(nats.sum() / words.sum())))


def by_place(predictions: Sequence[Any], counts: Sequence[Sequence[int]], key: str) -> Series | None:
    """The gain a word by the number of turns before; None if no turn has one before it."""
    names, gains, numbers = list[float | str](), list[float](), list[int]()
    for first, last in PLACES:
        rows = [
            (other - own, count)
            for one, words in zip(predictions, counts, strict=True)
            for other, own, count in list(zip(getattr(one, key), one.nats, words, strict=True))[first : last + 1]
        ]
        if rows:
            names.append(str(first) if first == last else f"{first} to {last}" if last < 1000 else f"{first} or more")
            gains.append(sum(gain for gain, _ in rows) / sum(count for _, count in rows))
            numbers.append(len(rows))
    return Series(names, gains, "turns before", "gain (nats a word)", counts=numbers) if names else None
