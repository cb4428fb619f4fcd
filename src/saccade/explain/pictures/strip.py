"""Images over time, side by side, such as the canvases of a drawing network. Figure 7 of Gregor et al. 2015."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.explain import plots, terminal
from saccade.explain.plots.arrays import checked, enlarged, named, packed, rounded, thinned
from saccade.explain.plots.images import lines_of, stretched
from saccade.explain.text import fit

MOST = 4096  # the most pixels that evidence stores
SMALL, LARGE = 0.85, 2.0  # inches of an image: alone, and where lines on it must be told apart


@dataclass(frozen=True, eq=False)
class Strip:
    """Images of one size, with a common scale of brightness.

    Raises:
        InvalidInput: the wrong shape, no images, or a number that is not finite.
    """

    name: str
    images: plots.Weights
    """(t, y, x), or (t, c, y, x) with 1 or 3 channels, with values in the form of `plots.brightness`."""
    boxes: plots.Weights | None = None
    """(t, 4): the box that each step drew in: x and y of a corner, width and height, in pixels."""
    labels: Sequence[str] = ()
    """Labels of the images; by default their numbers, from 1."""
    title: str = ""
    seconds: float = 0.0
    """If above 0, it is also written as an animation that shows each image for this long."""
    lines: Sequence[plots.Weights] = ()
    """Lines over each image, (lines, points, 2), such as those of a grid that is sampled: x to the right and y down, in
    pixels; (0, 0) is the corner of the first pixel."""

    def __post_init__(self) -> None:
        images = stretched(self.images, "images (t, y, x) or (t, c, y, x)")
        if images.ndim == 4 and images.shape[1] == 1:
            images = images[:, 0]
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[1] != 3):
            raise InvalidInput(f"expected images (t, y, x) or (t, c, y, x) of 1 or 3 channels; got {images.shape}")
        object.__setattr__(self, "images", images)
        if self.boxes is not None:
            object.__setattr__(self, "boxes", checked(self.boxes, f"{len(images)} 4", "boxes"))
        object.__setattr__(self, "lines", tuple(lines_of(self.lines, len(images))))
        object.__setattr__(self, "labels", tuple(named(self.labels, len(images), "images") if self.labels else ()))

    def figure(self) -> plots.Figure:
        inches = LARGE if self.lines else SMALL
        return plots.drawing(
            self.images, self.boxes, title=self.title, names=self.labels, inches=inches, lines=self.lines
        )

    def frames(self) -> list[plots.Figure]:
        """The figures of an animation: each image alone; the last is shown four times as long."""
        shown = [*range(len(self.images)), *[len(self.images) - 1] * 3]
        boxes = self.boxes if self.boxes is not None else [None] * len(self.images)
        return [
            plots.drawing(
                self.images[step : step + 1], None if boxes[step] is None else boxes[step][None], title=self.title,
                names=[self._names()[step]], inches=2.4,
            )
            for step in shown
        ]  # fmt: skip

    def text(self, width: int) -> str:
        """At most twelve of the images, in shades."""
        width, blocks = terminal.narrowest(width), []
        chosen = np.unique(np.linspace(0, len(self.images) - 1, min(12, len(self.images))).round().astype(int))
        for step in chosen:
            pixels = self.images[step] if self.images.ndim == 3 else plots.brightness(self.images[step])
            lines = terminal.image(pixels, min(24, width))
            blocks.append([fit(self._names()[step], 2 * (len(lines[0]) // 2)), *lines])
        return terminal.titled(self.title, terminal.beside(blocks, width), width)

    def page(self) -> dict[str, Any]:
        boxes = None if self.boxes is None else rounded(self.boxes, 2)
        images = enlarged(thinned(self.images, 1 << 18))
        return {"images": packed(images), "boxes": boxes, "labels": self._names(), "lines": self._lines()}

    def plain(self) -> dict[str, Any]:
        boxes = None if self.boxes is None else rounded(self.boxes, 2)
        images = thinned(self.images, MOST)
        plain = {"name": self.name, "title": self.title, "labels": list(self.labels), "boxes": boxes, "images": images}
        seconds = {"seconds": self.seconds} if self.seconds else {}
        return plain | seconds | ({"lines": self._lines()} if self.lines else {})

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Strip":
        return cls(**{**plain, "images": enlarged(plain["images"])})

    def description(self) -> str:
        high, wide = self.images.shape[-2:]
        drew = ", and a box where each step drew" if self.boxes is not None else ""
        drew += ", and lines over the images" if self.lines else ""
        return f"{self.title or 'Images'}: {len(self.images)} steps of {wide} x {high} pixels{drew}"

    def _lines(self) -> list[Any]:
        return [rounded(one, 2) for one in self.lines]

    def _names(self) -> list[str]:
        return list(self.labels) or [f"step {step + 1}" for step in range(len(self.images))]
