"""The frames of a clip side by side, and below them a row of weights for each word: figure 2 of Yao et al. 2015."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.explain import plots
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.plots.arrays import checked, enlarged, packed, rounded, thinned
from saccade.explain.plots.canvas import colour_bar, colours, fit, our_style, page, write_title
from saccade.explain.plots.images import stretched
from saccade.explain.plots.tokens import short_labels

MOST = 4096  # the most numbers of pixels that evidence stores
SIDE, ROW, GAP = 0.55, 0.24, 0.06  # inches: a frame, a word's row, between the two


@dataclass(frozen=True, eq=False)
class FrameWeights:
    """Frames and the weight of each at each word.

    Raises:
        InvalidInput: the wrong shape, no words, a number that is not finite, or a weight below 0.
    """

    name: str
    frames: plots.Weights
    """(f, 3, y, x), with values in the form of `plots.brightness`."""
    weights: plots.Weights
    """(n, f): a row for each word."""
    words: Sequence[str]
    title: str = ""

    def __post_init__(self) -> None:
        frames = stretched(self.frames, "frames (f, 3, y, x)")
        if frames.ndim != 4 or frames.shape[1] != 3:
            raise InvalidInput(f"expected frames (f, 3, y, x); got {frames.shape}")
        object.__setattr__(self, "frames", frames)
        object.__setattr__(self, "weights", checked(self.weights, f"{len(self.words)} {len(frames)}", "weights", 0.0))

    @property
    def numbers(self) -> list[str]:
        return [str(number + 1) for number in range(len(self.frames))]

    def figure(self) -> plots.Figure:
        """The frames above the weights, each frame above its column."""
        count, words = len(self.frames), short_labels(self.words)
        with our_style(self.title, *self.words):
            figure = page()
            for number, frame in enumerate(self.frames):
                axes = figure.add_axes((SIDE * (number + 0.03), GAP, SIDE * 0.94, SIDE * 0.94))
                axes.axis("off")
                axes.imshow(np.moveaxis(frame, 0, -1), interpolation="nearest", aspect="auto")
            top = figure.axes[0]
            axes = figure.add_axes((0, -ROW * len(words), SIDE * count, ROW * len(words)))
            shown = axes.imshow(self.weights, aspect="auto", cmap=colours(), vmin=0, vmax=max(1.0, self.weights.max()))
            axes.set_yticks(range(len(words)), words)
            axes.set_xticks(range(count), self.numbers)
            axes.set_xlabel("frame")
            colour_bar(axes, shown, "attention weight")
            write_title(top, self.title, pad=8, narrowest=60)
            return fit(figure)

    def text(self, width: int) -> str:
        return self._alignment().text(width)

    def _alignment(self) -> Alignment:
        return Alignment(
            self.name, self.weights, self.words, self.numbers, "word", "frame", "attention weight", self.title
        )

    def page(self) -> dict[str, Any]:
        return {
            "images": packed(self.frames), "labels": self.numbers, "lines": [], "boxes": None,
            "weights": rounded(self.weights, 4), "words": plots.labels(self.words),
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "words": list(self.words), "weights": rounded(self.weights),
            "frames": thinned(self.frames, MOST),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "FrameWeights":
        return cls(**{**plain, "frames": enlarged(plain["frames"])})

    def description(self) -> str:
        return f"{len(self.frames)} frames, and their weights at each word. {self._alignment().description()}"
