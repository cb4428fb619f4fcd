"""Where a captioner looks at each word: figure 3 of Xu et al. 2015, arXiv:1502.03044, soft and hard word under word,
and below each word its gate beta."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.explain import plots
from saccade.explain.plots.arrays import checked, enlarged, packed, rounded, thinned
from saccade.explain.plots.canvas import GREY, PALE, colours, fit, our_style, page, write_title
from saccade.explain.plots.images import PALEST, coloured, name_above, resized, stretched
from saccade.explain.plots.tokens import broken, short_labels

MOST = 6200  # the most numbers of pixels that evidence stores
ACROSS, SIDE, GAP = 8, 1.1, 0.1  # words in a row; inches of an image, and between two
DOTS = 200  # per inch, as in `save`
BAR = 0.16  # inches: the height of a gate


@dataclass(frozen=True, eq=False)
class Words:
    """For each word the weights of the regions, the one region that is looked at most, and the gate.

    Raises:
        InvalidInput: the wrong shape, no words, a number that is not finite, or a weight below 0.
    """

    name: str
    image: plots.Weights
    """(y, x), (c, y, x) or (y, x, c), in the form of `plots.brightness`; drawn in its colours."""
    maps: plots.Weights
    """(n, rows, columns), the weights of the regions at each word."""
    words: Sequence[str]
    gates: Sequence[float] = ()
    """beta of each word, from 0 to 1; () if there is none."""
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", coloured(stretched(self.image, "an image (y, x), (c, y, x) or (y, x, c)")))
        object.__setattr__(self, "maps", checked(self.maps, f"{len(self.words)} rows columns", "maps", 0.0))
        if len(self.gates):
            object.__setattr__(self, "gates", checked(self.gates, f"{len(self.words)}", "gates", 0.0).tolist())

    @property
    def hard(self) -> Any:
        """(n, rows, columns): 1 at the region with the largest weight."""
        flat = self.maps.reshape(len(self.maps), -1)
        return (np.arange(flat.shape[1]) == flat.argmax(1)[:, None]).astype(float).reshape(self.maps.shape)

    def figure(self) -> plots.Figure:
        """For each word the image under the weights; below it the region alone; and below that the gate as a bar."""
        inch = SIDE / max(self.image.shape[1:])
        high, wide = (inch * size for size in self.image.shape[1:])
        size = max(1, round(DOTS * high)), max(1, round(DOTS * wide))
        pixels = resized(self.image, size, "bilinear" if self.image.shape[1] > size[0] else "nearest")
        shades = PALEST + (1 - PALEST) * np.moveaxis(pixels, 0, -1)
        most = self.maps.max((1, 2), keepdims=True)
        soft = np.clip(resized(self.maps, size, "bicubic"), 0, most) / np.maximum(most, 1e-12)
        hard = resized(self.hard, size, "nearest")
        texts = [broken(text, wide) for text in short_labels(self.words)]
        above = 0.12 + 0.16 * (max(text.count("\n") for text in texts) + 1)
        block = above + 2 * high + GAP + (BAR + 0.1 if len(self.gates) else 0) + 0.1
        with our_style(self.title, *self.words):
            figure = page()
            for number, text in enumerate(texts):
                left, top = (number % ACROSS) * (wide + GAP), -(number // ACROSS) * block
                for below, maps in ((high, soft), (2 * high + GAP, hard)):
                    axes = figure.add_axes((left, top - below, wide, high))
                    axes.set(xticks=[], yticks=[])
                    axes.spines[:].set_visible(True)
                    laid = shades * colours()(maps[number])[..., :3]
                    axes.imshow(laid, aspect="auto", interpolation="nearest")
                    if below == high:
                        name_above(axes, text)
                if len(self.gates):
                    self._draw_gate(figure, left, top - 2 * high - GAP - 0.06 - BAR, wide, self.gates[number])
            write_title(figure.axes[0], self.title, pad=12 + round(72 * above), narrowest=60)
            return fit(figure)

    @staticmethod
    def _draw_gate(figure: Any, left: float, bottom: float, wide: float, gate: float) -> None:
        axes = figure.add_axes((left, bottom, wide, BAR))
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
        axes.axis("off")
        axes.barh(0.5, 1, height=1, color=PALE)
        axes.barh(0.5, gate, height=1, color=GREY)
        at, color = (0.03, "white") if gate > 0.5 else (gate + 0.03, "black")
        axes.text(at, 0.45, f"β {gate:.2f}", va="center", fontsize=7, color=color)

    def text(self, width: int) -> str:
        """A line for each word: its heaviest region, that region's weight, and the gate."""
        rows, columns = self.maps.shape[1:]
        lines = [*textwrap.wrap(self.title, width), f"{rows} rows and {columns} columns of regions"]
        longest = max(map(len, plots.labels(self.words)))
        for number, word in enumerate(plots.labels(self.words)):
            row, column = self._place(number)
            gate = f", beta {self.gates[number]:.2f}" if len(self.gates) else ""
            said = f"{word.ljust(longest)}  row {row + 1}, column {column + 1}: {self.maps[number].max():.2f}{gate}"
            lines.append(said)
        return "\n".join(line[:width] for line in lines)

    def _place(self, number: int) -> tuple[int, int]:
        row, column = np.unravel_index(self.maps[number].argmax(), self.maps.shape[1:])
        return int(row), int(column)

    def page(self) -> dict[str, Any]:
        return {
            "image": packed(enlarged(thinned(self.image, 1 << 18))), "maps": packed(self.maps),
            "labels": plots.labels(self.words), "gates": rounded(np.asarray(self.gates, dtype=float), 3),
            "values": "attention weight",
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "words": list(self.words), "image": thinned(self.image, MOST),
            "maps": rounded(self.maps), "gates": rounded(np.asarray(self.gates, dtype=float), 3),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Words":
        return cls(**{**plain, "image": enlarged(plain["image"])})

    def description(self) -> str:
        rows, columns = self.maps.shape[1:]
        places = []
        for number, word in enumerate(plots.labels(self.words)):
            row, column = self._place(number)
            places.append(
                f"{word} {(column + 0.5) / columns:.0%} from the left and {(row + 0.5) / rows:.0%} from the top"
            )
        return f"{self.title or 'Attention to regions of an image'}; heaviest regions: {'; '.join(places)}"
