"""The glimpses taken of an image, in order, and the path between them. Mnih et al. 2014."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.explain import plots, terminal
from saccade.explain.plots.arrays import checked, enlarged, packed, read, rounded, thinned
from saccade.explain.text import flow

MOST = 4096  # the most pixels that evidence stores


@dataclass(frozen=True, eq=False)
class Glimpses:
    """Boxes over an image, which is drawn in grey.

    Raises:
        InvalidInput: the wrong shape, no glimpses, a number that is not finite, or a size below 0.
    """

    name: str
    image: plots.Weights
    """(y, x), (c, y, x) or (y, x, c), in the form of `plots.brightness`."""
    centres: plots.Weights
    """(t, 2): x to the right and y down, in pixels; (0, 0) is the corner of the first pixel."""
    sizes: plots.Weights
    """Sizes of the boxes, in pixels: one number for all, (t,), or (t, scales)."""
    title: str = ""

    def __post_init__(self) -> None:
        centres, sizes = checked(self.centres, "t 2", "centres"), read(self.sizes, "sizes")
        sizes = np.broadcast_to(sizes, (len(centres), 1)) if sizes.ndim == 0 else sizes
        sizes = checked(sizes[:, None] if sizes.ndim == 1 else sizes, f"{len(centres)} scales", "sizes", 0.0)
        for name, value in (("image", plots.brightness(self.image)), ("centres", centres), ("sizes", sizes)):
            object.__setattr__(self, name, value)

    def figure(self) -> plots.Figure:
        return plots.glimpses(self.image, self.centres, self.sizes, self.title)

    def text(self, width: int) -> str:
        """The image in shades with the number of each glimpse at its centre, and a list of the glimpses."""
        width = terminal.narrowest(width)
        lines = [list(line) for line in terminal.image(self.image, min(width, 64))]
        for number, (x, y) in reversed([*enumerate(self.centres, start=1)]):
            row = int(y / self.image.shape[0] * len(lines))
            column = int(x / self.image.shape[1] * len(lines[0]))
            for place, digit in enumerate(str(number), start=column):
                if 0 <= row < len(lines) and 0 <= place < len(lines[row]):
                    lines[row][place] = digit
        said = [f"{number}: ({x:.0f}, {y:.0f})" for number, (x, y) in enumerate(self.centres, start=1)]
        return terminal.titled(self.title, ["".join(line) for line in lines] + ["", *flow(said, width)], width)

    def page(self) -> dict[str, Any]:
        return {
            "image": packed(enlarged(thinned(self.image, 1 << 16))), "centres": rounded(self.centres, 2),
            "sizes": rounded(self.sizes, 2),
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "image": thinned(self.image, MOST),
            "centres": rounded(self.centres, 2), "sizes": rounded(self.sizes, 2),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Glimpses":
        return cls(**{**plain, "image": enlarged(plain["image"])})

    def description(self) -> str:
        path = "; ".join(f"{number}: x {x:.0f}, y {y:.0f}" for number, (x, y) in enumerate(self.centres, start=1))
        high, wide = self.image.shape
        return f"{self.title or 'Glimpses'} of an image of {wide} x {high} pixels, centres in pixels: {path}"
