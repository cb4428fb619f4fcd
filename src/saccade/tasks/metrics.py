"""How near captions are to those that people wrote: BLEU, ROUGE-L, CIDEr-D (METEOR: `meteor.py`).

Captions are words separated by single spaces, as a tokenizer left them; words are compared as they are. Each caption
has one or more references. BLEU and ROUGE-L go from 0 to 100, CIDEr-D from 0 to 10.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.core.errors import InvalidInput, require
from saccade.tasks.bootstrap import interval

References = Sequence[Sequence[str]]
"""The references of each caption."""
ORDERS = 4
Gram = tuple[str, ...]


def check(captions: Sequence[str], references: References) -> None:
    """Raises:
    InvalidInput: no captions, another number of references, or a caption without one.
    """
    if len(captions) != len(references) or not captions:
        raise InvalidInput(f"expected references for each caption, got {len(references)} for {len(captions)} captions")
    for row, own in enumerate(references):
        if not own or isinstance(own, str):
            raise InvalidInput(f"caption {row + 1} of {len(captions)} has no list of references")


def bleu_orders(captions: Sequence[str], references: References) -> tuple[float, ...]:
    """Corpus BLEU with n-grams up to 1, 2, 3 and 4 words, by sacreBLEU (Post 2018, arXiv:1804.08771) without smoothing.

    Papineni et al. 2002, 10.3115/1073083.1073135. The reference of nearest length counts for the brevity penalty.
    """
    sums = bleu_counts(captions, references).sum(0)
    return tuple(bleu_of(sums, order) for order in range(1, ORDERS + 1))


def bleu_interval(captions: Sequence[str], references: References, seed: int = 1) -> tuple[float, float]:
    """The ends of the interval of BLEU-4 that holds 95 % of samples of the captions."""
    return interval(bleu_counts(captions, references), bleu_of, seed)


def bleu_counts(captions: Sequence[str], references: References) -> NDArray[np.float64]:
    """For each caption: its n-grams that a reference has, all, its words, and those of the nearest reference."""
    check(captions, references)
    metrics: Any = require("sacrebleu.metrics", "text")
    bleu = metrics.BLEU(tokenize="none", force=True, smooth_method="none", effective_order=True)
    found = [bleu.sentence_score(one, list(own)) for one, own in zip(captions, references, strict=True)]
    return np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in found], dtype=float)


def bleu_of(sums: NDArray[np.float64], order: int = ORDERS) -> float:
    """BLEU of summed counts."""
    metrics: Any = require("sacrebleu.metrics", "text")
    counts, totals, lengths = np.split(sums, (ORDERS, 2 * ORDERS))
    found = metrics.BLEU.compute_bleu(
        counts[:order].tolist(), totals[:order].tolist(), *map(int, lengths), smooth_method="none",
        max_ngram_order=order,
    )  # fmt: skip
    return float(found.score)


def rouge_l(captions: Sequence[str], references: References, beta: float = 1.2) -> float:
    """The mean ROUGE-L, from 0 to 100 (Lin 2004, W04-1013, equations 2 to 4), as captions are judged by it.

        P = LCS / words of the caption,  R = LCS / words of the reference,  F = (1 + beta^2) P R / (R + beta^2 P)

    with the largest P and the largest R over the references of a caption; LCS is the longest common subsequence.
    """
    check(captions, references)
    return 100 * sum(
        rouge_of(caption.split(), [one.split() for one in own], beta)
        for caption, own in zip(captions, references, strict=True)
    ) / len(captions)  # fmt: skip


def rouge_of(caption: Sequence[str], references: Sequence[Sequence[str]], beta: float) -> float:
    common = [longest_common(caption, one) for one in references]
    precision = max(common) / max(len(caption), 1)
    recall = max(count / max(len(one), 1) for count, one in zip(common, references, strict=True))
    both = recall + beta**2 * precision
    return (1 + beta**2) * precision * recall / both if both else 0.0


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, by whole rows of bits (Hyyro 2004, 10.1007/978-3-540-30213-1_2)."""
    places: dict[str, int] = {}
    for place, word in enumerate(other):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(other)) - 1
    row = every
    for word in one:
        found = row & places.get(word, 0)
        row = ((row + found) | (row - found)) & every
    return len(other) - row.bit_count()


def cider_d(captions: Sequence[str], references: References, sigma: float = 6.0) -> tuple[float, tuple[float, ...]]:
    """CIDEr-D and its value for each caption, from 0 to 10 (Vedantam et al. 2015, arXiv:1411.5726, equation 5).

        g_n(c) = count of each n-gram * log(images / images of which a reference has it)
        CIDEr-D = 10 mean_n mean_ref exp(-(l(c) - l(r))^2 / 2 sigma^2) min(g_n(c), g_n(r)) . g_n(r) / |g_n(c)| |g_n(r)|

    l counts the pairs of neighbouring words, as in the authors' code. The images are those that are judged: of one
    image every logarithm is 0, and so is CIDEr-D.
    """
    check(captions, references)
    counted = [[grams(one) for one in own] for own in references]
    images: Counter[Gram] = Counter()
    for own in counted:
        images.update({gram for orders in own for order in orders for gram in order})
    most = math.log(len(references))
    logarithms = {gram: most - math.log(count) for gram, count in images.items()}
    values = []
    for caption, own in zip(captions, counted, strict=True):
        vectors, norms, length = weighted(grams(caption), logarithms, most)
        total = 0.0
        for orders in own:
            others, other_norms, other_length = weighted(orders, logarithms, most)
            near = math.exp(-((length - other_length) ** 2) / (2 * sigma**2))
            for ours, theirs, norm, other_norm in zip(vectors, others, norms, other_norms, strict=True):
                if norm and other_norm:
                    both = ours.keys() & theirs.keys()
                    shared = sum(min(ours[gram], theirs[gram]) * theirs[gram] for gram in sorted(both))
                    total += near * shared / (norm * other_norm)
        values.append(10 * total / (ORDERS * len(own)))
    return sum(values) / len(values), tuple(values)


def grams(caption: str) -> list[Counter[Gram]]:
    """The n-grams of 1, 2, 3 and 4 words, with their counts."""
    words = caption.split()
    return [Counter(zip(*(words[start:] for start in range(order)), strict=False)) for order in range(1, ORDERS + 1)]


def weighted(
    orders: Sequence[Mapping[Gram, int]], logarithms: Mapping[Gram, float], unseen: float
) -> tuple[list[dict[Gram, float]], list[float], float]:
    """The counts times their logarithms, the norm of each order, and the number of pairs."""
    vectors = [{gram: count * logarithms.get(gram, unseen) for gram, count in order.items()} for order in orders]
    norms = [math.sqrt(sum(value * value for value in vector.values())) for vector in vectors]
    return vectors, norms, float(sum(orders[1].values()))


def distinct(captions: Sequence[str]) -> float:
    """The share of different captions among all, in %: near 0 where a model says the same of every image."""
    return 100 * len(set(captions)) / len(captions)
