"""METEOR 1.5 from equal words and equal stems, without Java. Denkowski & Lavie 2014, W14-3348."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from saccade.core.errors import InvalidInput, require
from saccade.tasks.metrics import References, check

WORDS = (
    "a an the this that these those some any all no other such one i you he she it we they me him her us them my "
    "your his its our their who which what am is are was were be been being has have had do does did will would can "
    "could may should of in on at by for with from to into over up out about after than as and or but if when there "
    "so not also more"
)
FUNCTION_WORDS = frozenset(WORDS.split())
"""Words that weigh less in English: those that make up more than a thousandth of its texts and carry little content."""
BEAM = 40
NONE = -2  # no word was taken before


class Meteor(NamedTuple):
    """The parameters of METEOR 1.5 for English, exact words and stems (Denkowski & Lavie 2014, W14-3348, table 1)."""

    alpha: float = 0.85
    beta: float = 0.20
    gamma: float = 0.60
    delta: float = 0.75
    exact: float = 1.0
    """The weight of equal words."""
    stem: float = 0.6
    """The weight of other words with equal stems."""


ENGLISH = Meteor()
Pairs = Any  # (place in the caption, place in the reference, the pairs before), or None
Alignment = tuple[int, int, int, Pairs]  # (-equal words, chunks, distance, pairs)


class Matches(NamedTuple):
    """The counts of one caption and a reference, or their sums over captions; of two sides, caption and reference."""

    exact_content: float
    exact_function: float
    stem_content: tuple[float, float]
    stem_function: tuple[float, float]
    content: tuple[float, float]
    """Words on each side, matched or not."""
    function: tuple[float, float]
    chunks: float
    """Runs of neighbours on both sides; 0 where all words of both sides are one run, which costs nothing."""

    def score(self, by: Meteor) -> float:
        """METEOR, from 0 to 1."""
        sides = []
        for side in (0, 1):
            content = by.exact * self.exact_content + by.stem * self.stem_content[side]
            function = by.exact * self.exact_function + by.stem * self.stem_function[side]
            whole = by.delta * self.content[side] + (1 - by.delta) * self.function[side]
            sides.append((by.delta * content + (1 - by.delta) * function) / whole if whole else 0.0)
        precision, recall = sides
        if not precision or not recall:
            return 0.0
        mean = precision * recall / (by.alpha * precision + (1 - by.alpha) * recall)
        matched = self.exact_content + self.exact_function + self.stem_content[0] + self.stem_function[0]
        return mean * (1 - by.gamma * math.pow(self.chunks / matched, by.beta))


def meteor(
    captions: Sequence[str],
    references: References,
    function_words: Collection[str] = FUNCTION_WORDS,
    language: str = "english",
    by: Meteor = ENGLISH,
) -> tuple[float, tuple[float, ...]]:
    """METEOR, from 0 to 100, and its value for each caption.

    In counts of words a content word weighs delta, a function word 1 - delta, and a match m by stem its share:

        P = m / caption,  R = m / reference,  F = P R / (alpha P + (1 - alpha) R)
        METEOR = F (1 - gamma (chunks / matches)^beta)

    of the reference for which it is highest; chunks are runs of neighbours on both sides. The value of all captions is
    that of their summed counts. Equal to the authors' program with -m "exact stem" -w "1.0 0.6".

    Args:
        captions: the captions.
        references: the references of each.
        function_words: words that weigh less.
        language: that of the stemmer (snowballstemmer), such as "english".
        by: the parameters.

    Raises:
        InvalidInput: no captions, a caption without references, or a language without a stemmer.
    """
    check(captions, references)
    stem = stems(language)
    functions = frozenset(function_words)
    totals, values = [0.0] * 11, []
    for caption, own in zip(captions, references, strict=True):
        words = caption.split()
        found = [matches(words, one.split(), stem, functions) for one in own]
        best = max(found, key=lambda one: one.score(by))
        values.append(100 * best.score(by))
        totals = [total + value for total, value in zip(totals, flat(best), strict=True)]
    a, b, *rest, chunks = totals
    pairs = [(rest[at], rest[at + 1]) for at in range(0, 8, 2)]
    return 100 * Matches(a, b, pairs[0], pairs[1], pairs[2], pairs[3], chunks).score(by), tuple(values)


def flat(matches: Matches) -> list[float]:
    return [number for part in matches for number in (part if isinstance(part, tuple) else (part,))]


@lru_cache
def stems(language: str) -> Callable[[str], str]:
    """A function from a word to its stem.

    Raises:
        InvalidInput: no stemmer of this language.
    """
    stemmers: Any = require("snowballstemmer", "text")
    if language not in stemmers.algorithms():
        raise InvalidInput(f"there is no stemmer of {language!r}; there are {', '.join(stemmers.algorithms())}")
    stem: Callable[[str], str] = stemmers.stemmer(language).stemWord
    return lru_cache(maxsize=1 << 16)(stem)


def matches(
    caption: Sequence[str], reference: Sequence[str], stem: Callable[[str], str], functions: Collection[str]
) -> Matches:
    """The counts of the best alignment of a caption and a reference."""
    pairs, chunks = aligned(caption, reference, stem)
    counts = [0.0, 0.0]
    stemmed = [[0.0, 0.0], [0.0, 0.0]]  # content and function, of caption and reference
    for place, other in pairs:
        word, twin = caption[place], reference[other]
        if word == twin:
            counts[word in functions] += 1
        else:
            stemmed[word in functions][0] += 1
            stemmed[twin in functions][1] += 1
    if chunks == 1 and len(pairs) == len(caption) == len(reference):
        chunks = 0
    function = [float(sum(word in functions for word in side)) for side in (caption, reference)]
    content = (len(caption) - function[0], len(reference) - function[1])
    return Matches(
        counts[0], counts[1], (stemmed[0][0], stemmed[0][1]), (stemmed[1][0], stemmed[1][1]), content,
        (function[0], function[1]), float(chunks),
    )  # fmt: skip


def aligned(
    caption: Sequence[str], reference: Sequence[str], stem: Callable[[str], str]
) -> tuple[list[tuple[int, int]], int]:
    """The pairs (place in the caption, place in the reference) of the best alignment, and its number of chunks.

    As in the authors' program, pairs that exclude no other are all taken. Of the others, as many pairs of equal words
    are taken as possible, and those of equal stems only where they cost no chunk, since the program rounds their weight
    down to 0. Ties go to the smaller distance, in which the program counts a pair to those that are tried after it.

    From left to right over the reference: alignments so far that used the same words and end at the same place go on
    alike, so only the best of them is kept; of these the best `BEAM`, which matters where words are often repeated.
    """
    places: dict[str, list[int]] = {}
    for place, word in enumerate(caption):
        places.setdefault(stem(word), []).append(place)
    choices = [sorted(places.get(stem(word), []), key=lambda at, word=word: caption[at] != word) for word in reference]  # type: ignore[misc]
    rivals = Counter(place for own in choices for place in own)
    states: dict[tuple[int, int], Alignment] = {(0, NONE): (0, 0, 0, None)}  # of (used places, end of the last pair)
    for row, own in enumerate(choices):
        alone = len(own) == 1 and rivals[own[0]] == 1
        grown: dict[tuple[int, int], Alignment] = {}
        for (used, last), (equal, chunks, distance, pairs) in states.items():
            options: list[tuple[tuple[int, int], Alignment]] = []
            for place in own:
                if not used >> place & 1:
                    counts = equal - (caption[place] == reference[row]), chunks + (last != place - 1), distance
                    options.append(((used | 1 << place, place), (*counts, (place, row, pairs))))
                    distance += abs(row - place)
            if not alone:
                options.append(((used, NONE), (equal, chunks, distance, pairs)))
            for state, found in options:
                if state not in grown or found[:3] < grown[state][:3]:
                    grown[state] = found
        states = grown if len(grown) <= BEAM else dict(sorted(grown.items(), key=lambda item: item[1][:3])[:BEAM])
    _, chunks, _, pairs = min(states.values(), key=lambda found: found[:3])
    listed = []
    while pairs is not None:
        place, row, pairs = pairs
        listed.append((place, row))
    return listed[::-1], chunks
