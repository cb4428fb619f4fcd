"""Attention over an image: maps laid over it, each with its label. Figure 3 of Xu et al. 2015, arXiv:1502.03044."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.explain import plots, terminal
from saccade.explain.plots.arrays import checked, enlarged, packed, pooled, rounded, thinned
from saccade.explain.text import cells, fit

PIXELS, NUMBERS = 4096, 1024  # the most pixels, and numbers of the maps, that evidence stores


@dataclass(frozen=True, eq=False)
class ImageOverlay:
    """Maps over an image, which is drawn in grey.

    Raises:
        InvalidInput: the wrong shape, no maps, a number that is not finite, or a map below 0.
    """

    name: str
    image: plots.Weights
    """(y, x), (c, y, x) or (y, x, c), in the form of `plots.brightness`."""
    maps: plots.Weights
    """(n, rows, columns), each spread over the whole image."""
    labels: Sequence[str]
    """Labels of the maps, in the form of `plots.labels`."""
    values: str = "weight"
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", plots.brightness(self.image))
        object.__setattr__(self, "maps", checked(self.maps, f"{len(self.labels)} rows columns", "maps", 0.0))

    def figure(self) -> plots.Figure:
        return plots.over_image(self.image, self.maps, self.labels, self.title, self.values)

    def text(self, width: int) -> str:
        """The image, and each map beside it in shades relative to its own largest weight."""
        width = terminal.narrowest(width)
        blocks = [["image", *terminal.image(self.image, min(width, 48))]]
        for label, weights in zip(plots.labels(self.labels), self.maps, strict=True):
            shown = terminal.image(weights / (weights.max() or 1.0), min(width, 48))
            said = f"{label} (to {weights.max():.3g})"
            blocks.append([fit(said, min(cells(said), width)), *shown])
        return terminal.titled(self.title, terminal.beside(blocks, width), width)

    def page(self) -> dict[str, Any]:
        small = enlarged(thinned(self.image, 1 << 16))
        return {
            "image": packed(small), "maps": packed(self.maps), "labels": plots.labels(self.labels),
            "values": self.values,
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        maps, size = self.maps, 1
        while maps[:, ::size, ::size].size > NUMBERS:
            size += 1
        return {
            "name": self.name, "title": self.title, "values": self.values, "labels": list(self.labels),
            "image": thinned(self.image, PIXELS), "maps": rounded(pooled(pooled(maps, size, 1), size, 2)),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "ImageOverlay":
        return cls(**{**plain, "image": enlarged(plain["image"])})

    def description(self) -> str:
        high, wide = self.image.shape
        places = []
        for label, weights in zip(plots.labels(self.labels), self.maps, strict=True):
            row, column = np.unravel_index(weights.argmax(), weights.shape)
            across, down = (column + 0.5) / weights.shape[1], (row + 0.5) / weights.shape[0]
            places.append(f"{label}, largest {across:.0%} from the left and {down:.0%} from the top")
        return f"{self.title or self.values.capitalize()} over an image of {wide} x {high} pixels: {'; '.join(places)}"
