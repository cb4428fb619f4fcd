"""Attention step by step: for each written word the scores, the weights, the context, and the word. Bahdanau et al.
2015, arXiv:1409.0473, for words; Xu et al. 2015, arXiv:1502.03044, for regions of an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.explain import plots, terminal
from saccade.explain.plots.arrays import checked, enlarged, packed, rounded, thinned
from saccade.explain.plots.build_up import FEATURES, STAGES
from saccade.explain.plots.images import coloured, stretched
from saccade.explain.text import cells, fit

MOST, VECTORS = 3600, 12  # the most pixels that evidence stores; features of an annotation vector that are kept
SHOWN = 12  # the most words of an animation


@dataclass(frozen=True, eq=False)
class BuildUp:
    """How each word of an answer comes about; as an animation, the first word step by step.

    Raises:
        InvalidInput: neither an image with its grid nor words, the wrong shape, or a number that is not finite.
    """

    name: str
    scores: plots.Weights
    """(t, k), the scores of the k regions or words at each of t words; the weights are their softmax. Only their
    differences count, and the largest of a word becomes 0."""
    contexts: plots.Weights
    """(t, c); the first few features are kept."""
    words: Sequence[str]
    """The t written words."""
    annotations: plots.Weights
    """(k, d), the vectors that are weighted; the first few features are kept."""
    image: plots.Weights | None = None
    """In the form of `plots.brightness`, if regions are looked at; drawn in its colours."""
    grid: tuple[int, int] = (0, 0)
    """Rows and columns of regions."""
    sources: Sequence[str] = ()
    """The k words, if words are looked at."""
    title: str = ""
    seconds: float = 1.0
    """The time of each frame of the animation."""
    context_size: int = 0
    """c, if `contexts` has only the first features; 0: those that it has."""
    annotation_size: int = 0
    """d, likewise."""
    states: plots.Weights | None = None
    """(t, s), the decoder's states, if words are predicted from them too; the first few features are kept."""
    state_size: int = 0
    """s, likewise."""

    def __post_init__(self) -> None:
        image = None if self.image is None else coloured(stretched(self.image, "an image (y, x), (c, y, x)"))
        k = len(self.sources) if image is None else self.grid[0] * self.grid[1]
        if not k:
            raise InvalidInput("expected an image with its grid of regions, or the words that are looked at")
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "grid", tuple(self.grid))
        scores = checked(self.scores, f"{len(self.words)} {k}", "scores")
        object.__setattr__(self, "scores", scores - scores.max(1, keepdims=True))
        contexts = checked(self.contexts, f"{len(self.words)} c", "contexts")
        object.__setattr__(self, "contexts", contexts[:, :FEATURES])
        object.__setattr__(self, "context_size", max(self.context_size, contexts.shape[1]))
        if self.states is not None:
            states = checked(self.states, f"{len(self.words)} s", "states")
            object.__setattr__(self, "states", states[:, :FEATURES])
            object.__setattr__(self, "state_size", max(self.state_size, states.shape[1]))
        annotations = checked(self.annotations, f"{k} d", "annotations")
        object.__setattr__(self, "annotations", annotations[:, :VECTORS])
        object.__setattr__(self, "annotation_size", max(self.annotation_size, annotations.shape[1]))

    @property
    def weights(self) -> Any:
        """(t, k): the softmax of the scores."""
        weights = np.exp(self.scores)
        return weights / weights.sum(1, keepdims=True)

    def figure(self) -> plots.Figure:
        """All steps of the word that was looked at most sharply."""
        return self._frame(int(self.weights[: max(1, len(self.words) - 1)].max(1).argmax()), "word")

    def frames(self) -> list[plots.Figure]:
        """What is looked at and its vectors; the steps of the first word; some further words; the last one stays."""
        vectors = plots.annotation_vectors(
            self.annotations, image=self.image, grid=self.grid, sources=self.sources, title=self.title,
            size=self.annotation_size,
        )  # fmt: skip
        steps = [self._frame(0, stage) for stage in STAGES]
        rest = [self._frame(step, "word") for step in range(1, min(len(self.words), SHOWN))]
        return [steps[0], vectors, *steps[1:], *rest, (rest or steps)[-1]]

    def _frame(self, step: int, stage: str) -> plots.Figure:
        state = None if self.states is None else self.states[step]
        return plots.build_up(
            self.scores[step], self.contexts[step], self.words[step], image=self.image, grid=self.grid,
            sources=self.sources, written=self.words[:step], stage=stage, title=self.title, size=self.context_size,
            state=state, state_size=self.state_size,
        )  # fmt: skip

    def text(self, width: int) -> str:
        """A line for each word: the three heaviest regions or words."""
        width, names, lines = terminal.narrowest(width), self._names(), []
        words = plots.labels(self.words)
        longest = min(max(map(cells, words)), width // 2)
        for word, weights in zip(words, self.weights, strict=True):
            best = ", ".join(f"{names[row]} {weights[row]:.2f}" for row in weights.argsort()[::-1][:3])
            lines.append(fit(f"{fit(word, longest)}  {best}", width).rstrip())
        return terminal.titled(self.title, lines, width)

    def _names(self) -> list[str]:
        if self.image is None:
            return list(plots.labels(self.sources))
        return [f"({row + 1}, {column + 1})" for row in range(self.grid[0]) for column in range(self.grid[1])]

    def page(self) -> dict[str, Any]:
        image = None if self.image is None else packed(enlarged(thinned(self.image, 1 << 18)))
        return {
            "image": image, "grid": list(self.grid), "sources": [] if image else plots.labels(self.sources),
            "scores": packed(self.scores), "weights": packed(self.weights), "contexts": packed(self.contexts),
            "words": plots.labels(self.words), "context_size": self.context_size,
            "states": None if self.states is None else packed(self.states), "state_size": self.state_size,
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "words": list(self.words), "sources": list(self.sources),
            "grid": list(self.grid), "image": None if self.image is None else thinned(self.image, MOST),
            "scores": rounded(self.scores, 2), "contexts": rounded(self.contexts, 2),
            "annotations": rounded(self.annotations, 2), "seconds": self.seconds, "context_size": self.context_size,
            "annotation_size": self.annotation_size, "state_size": self.state_size,
            "states": None if self.states is None else rounded(self.states, 2),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "BuildUp":
        image = plain["image"]
        return cls(**{**plain, "image": None if image is None else enlarged(image), "grid": tuple(plain["grid"])})

    def description(self) -> str:
        names = self._names()
        looks = [
            f"{word} at {names[int(row.argmax())]}"
            for word, row in zip(plots.labels(self.words), self.weights, strict=True)
        ]
        what = "words" if self.image is None else "regions, by row and column"
        return (
            f"{self.title or 'Attention step by step'}: scores, weights, context and word; the heaviest {what}: "
            f"{', '.join(looks)}"
        )
