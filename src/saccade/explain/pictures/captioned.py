"""Images with their captions, lit where a word of the caption looked: figures 4 and 5 of Xu et al. 2015,
arXiv:1502.03044."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.core.printable import printable
from saccade.explain import plots, terminal
from saccade.explain.plots.arrays import checked, enlarged, named, packed, rounded, thinned
from saccade.explain.plots.canvas import fit, our_style, page, spelled, write_title
from saccade.explain.plots.charts import COLOURS
from saccade.explain.plots.images import DOTS, resized, stretched

MOST = 2500  # the most pixels that evidence stores, all images and channels counted
ACROSS, SIDE, GAP, LINE = 3, 2.1, 0.25, 0.17  # images in a row; inches of an image, between two, and of a line of text
DARK = 0.35  # brightness where a word did not look


@dataclass(frozen=True, eq=False)
class Captioned:
    """Images of one size, a caption for each, and one word of each caption.

    Raises:
        InvalidInput: the wrong shape, no images, a number that is not finite, or captions of another number.
    """

    name: str
    images: plots.Weights
    """(n, 3, y, x), in the form of `plots.brightness`."""
    captions: Sequence[str]
    marked: Sequence[str] = ()
    """A word of each caption: the one whose weights are shown, or the wrong one; "" if there is none."""
    maps: plots.Weights | None = None
    """(n, rows, columns), the weights of the regions at that word; even ones leave an image as it is."""
    said: str = ""
    """What is said of the marked words, such as "wrong"."""
    title: str = ""

    def __post_init__(self) -> None:
        images = stretched(self.images, "images (n, 3, y, x)")
        if images.ndim != 4 or images.shape[1] != 3:
            raise InvalidInput(f"expected images (n, 3, y, x), got {images.shape}")
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "captions", named(self.captions, len(images), "images"))
        object.__setattr__(self, "marked", named(self.marked or [""] * len(images), len(images), "images"))
        maps = np.ones((len(images), 1, 1)) if self.maps is None else self.maps
        object.__setattr__(self, "maps", checked(maps, f"{len(images)} rows columns", "maps", 0.0))

    @property
    def shares(self) -> Any:
        """The maps, each divided by its largest value."""
        maps: Any = self.maps
        return maps / np.maximum(maps.max((1, 2), keepdims=True), 1e-12)

    def figure(self) -> plots.Figure:
        inch = SIDE / max(self.images.shape[2:])
        high, wide = (inch * size for size in self.images.shape[2:])
        texts = [self._lines(number, int(wide * 14)) for number in range(len(self.images))]
        lit = self._lit((max(1, round(DOTS * high)), max(1, round(DOTS * wide))))
        rows = [slice(first, first + ACROSS) for first in range(0, len(texts), ACROSS)]
        with our_style(self.title, *self.captions):
            figure, top = page(), 0.0
            for row in rows:
                for column, (pixels, lines) in enumerate(zip(lit[row], texts[row], strict=True)):
                    axes = figure.add_axes((column * (wide + GAP), top - high, wide, high))
                    axes.set(xticks=[], yticks=[])
                    axes.axis("off")
                    axes.imshow(pixels, aspect="auto", interpolation="nearest")
                    for number, (line, marked) in enumerate(lines):
                        style: Any = {"color": COLOURS[1], "weight": "bold"} if marked else {}
                        at = -(0.06 + LINE * number) / high
                        axes.text(0, at, line, va="top", fontsize=8, transform=axes.transAxes, **style)
                top -= high + LINE * max(map(len, texts[row])) + GAP
            write_title(figure.axes[0], self.title, pad=8, narrowest=70)
            return fit(figure)

    def _lines(self, number: int, width: int) -> list[tuple[str, bool]]:
        """The lines below an image, the last one about its marked word."""
        lines = [(line, False) for line in textwrap.wrap(spelled(printable(self.captions[number])), width)]
        if self.marked[number]:
            lines.append((f"{self.said}: " * bool(self.said) + f"“{self.marked[number]}”", True))
        return lines

    def _lit(self, size: tuple[int, int]) -> Any:
        """The images (n, y, x, 3) at this size, dark where the word did not look."""
        mode = "bilinear" if self.images.shape[2] > size[0] else "nearest"
        large = np.stack([resized(self.images[:, channel], size, mode) for channel in range(3)], -1)
        bright = np.clip(resized(self.shares, size, "bicubic"), 0, 1)[..., None]
        return np.clip(large * (DARK + (1 - DARK) * bright), 0, 1)

    def text(self, width: int) -> str:
        width, lines = terminal.narrowest(width), []
        for number in range(len(self.images)):
            said = " ".join(line for line, _ in self._lines(number, 10_000))
            lines += textwrap.wrap(said, width, subsequent_indent="  ") or [""]
        return terminal.titled(self.title, lines, width)

    def page(self) -> dict[str, Any]:
        images = enlarged(thinned(self.images, 1 << 18))
        return {
            "images": packed(images), "maps": packed(self.shares), "captions": list(self.captions),
            "marked": [self._lines(number, 10_000)[-1][0] if word else "" for number, word in enumerate(self.marked)],
            "dark": DARK,
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "captions": list(self.captions), "marked": list(self.marked),
            "said": self.said, "images": thinned(self.images, MOST), "maps": rounded(self.shares, 2),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Captioned":
        return cls(**{**plain, "images": enlarged(plain["images"])})

    def description(self) -> str:
        said = "; ".join(" ".join(line for line, _ in self._lines(n, 10_000)) for n in range(len(self.images)))
        return f"{self.title or 'Images with captions'}: {said}"
