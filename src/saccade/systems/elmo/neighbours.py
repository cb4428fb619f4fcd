"""The nearest and the farthest contexts of a word, by the cosine of its vectors. Peters et al. 2018, table 4."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput

NEAREST, FARTHEST, READ, ROOM = 6, 3, 300, 36
"""Contexts that are shown; the most sentences with the word that are read; characters of a context."""


class Neighbours(NamedTuple):
    word: str
    contexts: list[str]
    """Sentences of the training with the word in brackets, the nearest first."""
    cosines: Float[Tensor, "n l"]
    """Of the states of each layer; the vectors of the word itself, below them, are equal."""


def asked(words: tuple[str, ...], word: str, known: set[str]) -> int | None:
    """The place of a word in a sentence; by default of the longest that `known` has, else None.

    Raises:
        InvalidInput: the word is not in the sentence.
    """
    if word:
        if word not in words:
            raise InvalidInput(
                f"--word {word}: the sentence has no such word; it has {', '.join(dict.fromkeys(words))}"
            )
        return words.index(word)
    found = [place for place, one in enumerate(words) if one in known and one[0].isalpha()]
    return max(found, key=lambda place: len(words[place]), default=None)


def neighbours(model: Any, task: Any, words: tuple[str, ...], word: str) -> Neighbours | None:
    """The contexts of a word of a sentence among the sentences of the training; None if they are no longer there, or
    have none of its words."""
    try:
        sentences = dict.fromkeys(task.sentences["train"])
    except (InvalidInput, LookupError, OSError):
        return None
    sentences.pop(words, None)
    place = asked(words, word, {one for row in sentences for one in row})
    if place is None:
        return None
    others = [row for row in sentences if words[place] in row][:READ]
    if not others:
        return None
    own, *rows = model.vectors([words, *others])
    found = torch.stack([row[other.index(words[place])] for row, other in zip(rows, others, strict=True)])
    cosines = F.cosine_similarity(found[:, 1:].float(), own[place, 1:].float(), -1).cpu()
    order = cosines[:, -1].argsort(descending=True, stable=True).tolist()
    kept = order if len(order) <= NEAREST + FARTHEST else [*order[:NEAREST], *order[-FARTHEST:]]
    return Neighbours(words[place], [marked(others[row], words[place]) for row in kept], cosines[kept])


def marked(words: tuple[str, ...], word: str) -> str:
    """The first such word in brackets, with the words beside it for which there is room."""
    place = words.index(word)
    first, end, text = place, place + 1, f"[{word}]"
    while first > 0 or end < len(words):
        before = f"{words[first - 1]} " if first else ""
        after = f" {words[end]}" if end < len(words) else ""
        if len(before + text + after) > ROOM:
            break
        first, end, text = max(0, first - 1), min(len(words), end + 1), before + text + after
    return f"{'… ' if first else ''}{text}{' …' if end < len(words) else ''}"
