"""Heat maps over an image, one beside the other, with the most probable classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.explain import plots, terminal
from saccade.explain.plots.arrays import enlarged, packed, pooled, rounded, thinned
from saccade.explain.plots.images import grey_of, pixels_of, resized, stretched
from saccade.explain.plots.overlays import SCALE, check_probabilities, checked_maps, percent
from saccade.explain.text import cells, fit

MOST, PAGE = 4096, 1 << 16  # the most pixels of the image that evidence and a page store, all channels counted
CELLS = 1024  # the most numbers of a map that evidence stores


@dataclass(frozen=True, eq=False)
class Overlays:
    """Heat maps over an image, each on its own scale, since maps of different methods have different units.

    Raises:
        InvalidInput: the wrong shape, no maps, a number that is not finite, a map below 0, no probability.
    """

    name: str
    image: plots.Weights
    """(y, x), (c, y, x) or (y, x, c), in the form of `plots.brightness`."""
    maps: Sequence[plots.Weights]
    """(rows, columns) each, spread over the whole image."""
    labels: Sequence[str]
    """The name of each map."""
    classes: Sequence[str] = ()
    """The most probable classes."""
    probabilities: Sequence[float] = ()
    across: int = 0
    """The most maps in a row; 0: five."""
    peaks: Sequence[float] = ()
    """The largest value of each map, if the maps are given as shares of it; by default it is found."""
    title: str = ""

    def __post_init__(self) -> None:
        image = pixels_of(stretched(self.image, "an image (y, x), (c, y, x) or (y, x, c)"))
        maps = checked_maps(self.maps, self.labels)
        check_probabilities(self.classes, self.probabilities)
        peaks = [float(peak) for peak in self.peaks] or [float(one.max()) for one in maps]
        if len(peaks) != len(maps):
            raise InvalidInput(f"expected the largest value of each of {len(maps)} maps, got {len(peaks)}")
        scaled = maps if self.peaks else [one / (peak or 1.0) for one, peak in zip(maps, peaks, strict=True)]
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "maps", scaled)
        object.__setattr__(self, "peaks", peaks)

    @property
    def channels(self) -> Any:
        """The image as (c, y, x)."""
        return self.image[None] if self.image.ndim == 2 else np.moveaxis(self.image, -1, 0)

    def figure(self) -> plots.Figure:
        return plots.overlays(
            self.image, self.maps, self.labels, self.classes, self.probabilities, self.title, self.across, self.peaks
        )

    def text(self, width: int) -> str:
        """The image, and each map in shades relative to its own largest value; then the classes."""
        width = terminal.narrowest(width)
        shown = terminal.image(grey_of(self.image), min(width, 32))
        size = len(shown), len(shown[0]) // 2
        blocks = [["image", *shown]]
        for label, peak, one in zip(plots.labels(self.labels), self.peaks, self.maps, strict=True):
            said = f"{label}, to {peak:.3g}"
            large = resized(one[None], size, "bilinear")[0]
            blocks.append([fit(said, min(cells(said), width)), *terminal.image(large, min(width, 32))])
        lines = [*terminal.beside(blocks, width), *([""] if self.classes else [])]
        for label, share in zip(plots.labels(self.classes), self.probabilities, strict=True):
            said = f"{percent(share):>8}  {label}"
            lines.append(fit(said, min(cells(said), width)))
        return terminal.titled(self.title, lines, width)

    def page(self) -> dict[str, Any]:
        return {
            "image": packed(enlarged(thinned(self.channels, PAGE))), "maps": [packed(one) for one in self.maps],
            "labels": plots.labels(self.labels), "peaks": list(self.peaks), "classes": plots.labels(self.classes),
            "probabilities": list(self.probabilities), "across": self.across, "values": SCALE,
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "labels": list(self.labels), "across": self.across,
            "classes": list(self.classes), "probabilities": rounded(self.probabilities, 4),
            "peaks": [float(f"{peak:.4g}") for peak in self.peaks],
            "image": thinned(self.channels, MOST), "maps": [rounded(small(one)) for one in self.maps],
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Overlays":
        return cls(**{**plain, "image": enlarged(plain["image"])})

    def description(self) -> str:
        places = []
        for label, one in zip(plots.labels(self.labels), self.maps, strict=True):
            row, column = np.unravel_index(one.argmax(), one.shape)
            across, down = (column + 0.5) / one.shape[1], (row + 0.5) / one.shape[0]
            places.append(f"{label}, largest {across:.0%} from the left and {down:.0%} from the top")
        best = [f"{label} {percent(share)}" for label, share in zip(self.classes, self.probabilities, strict=True)]
        high, wide = self.image.shape[:2]
        said = f"{self.title or 'Heat maps'} over an image of {wide} x {high} pixels: {'; '.join(places)}"
        return f"{said}. Classes: {', '.join(plots.labels(best))}" if best else said


def small(one: Any) -> Any:
    """A map of at most `CELLS` numbers."""
    size = 1
    while one[::size, ::size].size > CELLS:
        size += 1
    return pooled(pooled(one, size, 0), size, 1)
