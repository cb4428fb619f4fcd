"""Word alignment: compare a translation model's attention with manual links. Och & Ney 2003, Comp. Ling. 29(1).

    AER = 1 - (|A & S| + |A & P|) / (|A| + |S|),  precision = |A & P| / |A|,  recall = |A & S| / |S|

A the links found, S the sure links, P the possible links, which include S. A link is (source word, target word), both
counted from 0. Links of two directions are combined as sets: `ours & {(i, j) for j, i in theirs}`.
"""

import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.tasks.translation.hansard import like_hansard
from saccade.tasks.translation.parallel_text import composed_lines
from saccade.tasks.translation.vocabulary import Vocabulary

Links = frozenset[tuple[int, int]]


class GoldAlignment(NamedTuple):
    """The words of a pair and its links. Every sure link is also possible."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    sure: Links
    possible: Links

    def reversed_(self) -> "GoldAlignment":
        """The same links in the other direction."""
        sure, possible = (frozenset((j, i) for i, j in links) for links in (self.sure, self.possible))
        return GoldAlignment(self.target, self.source, sure, possible)


class Side(NamedTuple):
    """A sentence as a model reads it: the words, as many as in the gold alignment, and their text."""

    words: Sequence[str]
    text: str


class AlignedPair(NamedTuple):
    """A gold alignment, and both sentences as a model reads them."""

    gold: GoldAlignment
    source: Side
    target: Side

    def reversed_(self) -> "AlignedPair":
        return AlignedPair(self.gold.reversed_(), self.target, self.source)


class Agreement(NamedTuple):
    """Alignment error rate, precision and recall, in percent."""

    aer: float
    precision: float
    recall: float


def read_gold(sentences: Sequence[Path], links: Path) -> list[GoldAlignment]:
    """Gold alignments: one file `source ||| target` or two aligned files, and a file of links in the same order.

    A sure link is `i-j`, a possible one `ipj`; i and j count words from 1.

    Raises:
        NotFound, InvalidInput: naming the file and, if there is one, the line.
    """
    if len(sentences) not in (1, 2):
        raise InvalidInput(f"expected one file `source ||| target` or two files, not {len(sentences)} files")
    paths = [*sentences, links]
    files = [composed_lines(path) for path in paths]
    for path, lines in zip(paths, files, strict=True):
        if len(lines) != len(files[0]):
            raise InvalidInput(f"{paths[0]} has {len(files[0])} lines, {path} has {len(lines)}; they must be aligned")
    gold = []
    for number, columns in enumerate(zip(*files, strict=True), start=1):
        sides = columns[:-1] if len(sentences) == 2 else columns[0].split("|||")
        if len(sides) != 2 or not all(side.strip() for side in sides):
            found = " ||| ".join(sides)[:60]
            raise InvalidInput(f"{paths[-2]}, line {number}: expected words on both sides, found {found!r}")
        source, target = (tuple(side.split()) for side in sides)
        sure, possible = read_links(columns[-1], len(source), len(target), f"{links}, line {number}")
        gold.append(GoldAlignment(source, target, sure, possible))
    return gold


def as_read(gold: Sequence[GoldAlignment], hansard: bool = False) -> list[AlignedPair]:
    """The pairs as a model reads them: words separated by spaces, or English-French written as in the Hansard."""
    if hansard:
        return [
            AlignedPair(pair, Side(*like_hansard(pair.source, "en")), Side(*like_hansard(pair.target, "fr")))
            for pair in gold
        ]
    return [AlignedPair(pair, *(Side(side, " ".join(side)) for side in (pair.source, pair.target))) for pair in gold]


def read_links(line: str, sources: int, targets: int, place: str) -> tuple[Links, Links]:
    """(sure, possible) links of one line; `place` names it in errors."""
    every = {"-": set[tuple[int, int]](), "p": set[tuple[int, int]]()}
    for text in line.split():
        match = re.fullmatch("([0-9]+)([-p])([0-9]+)", text)
        if match is None:
            raise InvalidInput(f"{place}: expected a link such as 3-4 (sure) or 3p4 (possible), found {text[:60]!r}")
        i, j = int(match[1]), int(match[3])
        if not (1 <= i <= sources and 1 <= j <= targets):
            raise InvalidInput(f"{place}: {text} is out of range; the sentences have {sources} and {targets} words")
        every[match[2]].add((i - 1, j - 1))
    return frozenset(every["-"]), frozenset(every["-"] | every["p"])


def aer(predicted: Sequence[Set[tuple[int, int]]], gold: Sequence[GoldAlignment]) -> Agreement:
    """The error rate over all pairs together, as if they were one (Och & Ney 2003). Without links a score is 0.

    Raises:
        InvalidInput: different numbers of sets and pairs, or no link on either side.
    """
    if len(predicted) != len(gold):
        raise InvalidInput(f"expected a set of links for each of {len(gold)} pairs, not {len(predicted)}")
    found, sure = sum(map(len, predicted)), sum(len(pair.sure) for pair in gold)
    if found + sure == 0:
        raise InvalidInput("the error rate is undefined, since no link was found and no gold link is sure")
    hits = [(len(ours & pair.possible), len(ours & pair.sure)) for ours, pair in zip(predicted, gold, strict=True)]
    right, hit = (sum(column) for column in zip(*hits, strict=True))
    return Agreement(100 * (1 - (hit + right) / (found + sure)), 100 * right / max(found, 1), 100 * hit / max(sure, 1))


def diagonal(sources: int, targets: int) -> set[tuple[int, int]]:
    """A baseline that ignores the words: target word j is linked to source word floor((j + 1/2) sources / targets)."""
    return {((2 * j + 1) * sources // (2 * targets), j) for j in range(targets)}


def word_of_piece(vocabulary: Vocabulary, words: Sequence[str], text: str | None = None) -> list[int | None]:
    """The word that each symbol of `vocabulary.encode(text)` belongs to. The mark of a space belongs to the next word.

    `text` is the words in order, with or without spaces between them; None: separated by single spaces. A symbol with
    letters of two words ("members'") belongs to the first.

    Raises:
        InvalidInput: the text does not consist of the words.
    """
    text = " ".join(words) if text is None else text
    owner: list[int | None] = [None] * len(text)
    behind = 0
    for index, word in enumerate(words):
        start = len(text) - len(text[behind:].lstrip())
        if not text.startswith(word, start):
            raise InvalidInput(
                f"the text does not consist of the words in order: expected {word!r} at {text[start:][:40]!r}"
            )
        # from the end of the previous word, so that the space belongs to this one regardless of its symbol's offsets
        owner[behind : start + len(word)] = [index] * (start + len(word) - behind)
        behind = start + len(word)
    if text[behind:].strip():
        raise InvalidInput(
            f"the text does not consist of the words in order: {text[behind:][:40]!r} follows the last word"
        )
    return [owner[start] for start, _ in vocabulary.spans(text)]


def word_weights(
    weights: Float[Tensor, "*h q k"], source: Sequence[int | None], target: Sequence[int | None]
) -> Float[Tensor, "*h t s"]:
    """Weights over words (target words, source words) from weights over symbols, row q for target symbol q.

    Weights are summed over the symbols of a source word and averaged over those of a target word, for each head.
    `source` and `target` come from `word_of_piece`; later rows and columns (end symbol, padding) are left out. A word
    without a symbol has a row of zeros.

    Raises:
        InvalidInput: fewer weights than symbols.
    """
    if len(target) > weights.shape[-2] or len(source) > weights.shape[-1]:
        raise InvalidInput(
            f"expected weights of at least {len(target)} x {len(source)} symbols, not {tuple(weights.shape[-2:])}"
        )
    to_target, to_source = membership(target, weights), membership(source, weights)
    sums = to_target.T @ weights[..., : len(target), : len(source)] @ to_source
    return sums / to_target.sum(0).clamp(min=1)[:, None]


def membership(word_of: Sequence[int | None], like: Tensor) -> Float[Tensor, "symbols words"]:
    """1 where the symbol belongs to the word; dtype and device of `like`."""
    words = 1 + max((word for word in word_of if word is not None), default=-1)
    rows = [[float(word == index) for index in range(words)] for word in word_of]
    return like.new_tensor(rows).reshape(len(rows), words)


def links(weights: Float[Tensor, "t s"]) -> set[tuple[int, int]]:
    """A link from each target word to the source word with the largest weight; none for a row of zeros."""
    best = weights.argmax(1).tolist() if weights.numel() else []
    return {(i, j) for j, i in enumerate(best) if weights[j, i] > 0}


def shares(weights: Float[Tensor, "t s"]) -> Float[Tensor, "t s"]:
    """The share of each target word in the weights of a source word: w[t, s] / sum_t w[t, s].

    A source word with some weight in all rows, such as a full stop on which heads rest, then has the largest share in
    none.
    """
    given = weights.sum(0)
    return torch.where(given > 0, weights / given.clamp_min(torch.finfo(weights.dtype).tiny), 0)


def readings(layers: Mapping[str, Float[Tensor, "h t s"]]) -> dict[str, Float[Tensor, "t s"]]:
    """The ways to read links from the weights of layers: the mean of each layer's heads, each head, the mean of all.

    Each is included both unchanged and as `shares`. Heads are counted from 0. There is no mean over a single head, and
    no mean over a single layer.
    """
    found = {}
    for name, heads in layers.items():
        mean = name if len(heads) == 1 else f"{name}, mean of {len(heads)} heads"
        found[mean] = heads.mean(0)
    for name, heads in layers.items():
        if len(heads) > 1:
            found |= {f"{name}, head {number}": head for number, head in enumerate(heads)}
    if len(layers) > 1:
        found[f"mean of all {len(layers)} layers"] = torch.cat(list(layers.values())).mean(0)
    return found | {f"{name}, as shares": shares(weights) for name, weights in found.items()}


class Parts(NamedTuple):
    """The agreement on the first pairs, with which the reading is selected; on the rest; and on all pairs."""

    first: Agreement
    rest: Agreement
    all: Agreement


def in_parts(predicted: Sequence[Set[tuple[int, int]]], gold: Sequence[GoldAlignment], first: int) -> Parts:
    """`aer` of the first pairs, the rest, and all.

    Raises:
        InvalidInput: as `aer`, for each part.
    """
    parts = slice(first), slice(first, None), slice(None)
    return Parts(*(aer(predicted[part], gold[part]) for part in parts))
