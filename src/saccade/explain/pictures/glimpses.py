"""The glimpses taken of an image, in order, and the path between them. Mnih et al. 2014."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.explain import plots, terminal
from saccade.explain.plots.arrays import checked, enlarged, named, packed, read, rounded, thinned
from saccade.explain.plots.images import stretched
from saccade.explain.text import fit, flow

MOST = 4096  # the most pixels that evidence stores of the image, and of what the glimpses saw


@dataclass(frozen=True, eq=False)
class Glimpses:
    """Boxes over an image, which is drawn in grey, and what the glimpses saw, which is drawn below it.

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
    seen: plots.Weights | None = None
    """(t, y, x), from 0 to 1, on the scale of the image; or integers up to 255."""
    labels: Sequence[str] = ()
    """Labels of the glimpses, such as the answer after each; by default their numbers, from 1."""

    def __post_init__(self) -> None:
        centres, sizes = checked(self.centres, "t 2", "centres"), read(self.sizes, "sizes")
        sizes = np.broadcast_to(sizes, (len(centres), 1)) if sizes.ndim == 0 else sizes
        sizes = checked(sizes[:, None] if sizes.ndim == 1 else sizes, f"{len(centres)} scales", "sizes", 0.0)
        for name, value in (("image", plots.brightness(self.image)), ("centres", centres), ("sizes", sizes)):
            object.__setattr__(self, name, value)
        if self.seen is not None:
            seen = checked(stretched(self.seen, "seen (t, y, x)"), f"{len(centres)} y x", "seen")
            object.__setattr__(self, "seen", seen)
        object.__setattr__(self, "labels", tuple(named(self.labels, len(centres), "glimpses") if self.labels else ()))

    def figure(self) -> plots.Figure:
        return plots.glimpses(self.image, self.centres, self.sizes, self.title, self.seen, self.labels)

    def text(self, width: int) -> str:
        """The image in shades with the number of each glimpse at its centre, a list of the glimpses, and what they
        saw."""
        width = terminal.narrowest(width)
        lines = [list(line) for line in terminal.image(self.image, min(width, 64))]
        for number, (x, y) in reversed([*enumerate(self.centres, start=1)]):
            row = int(y / self.image.shape[0] * len(lines))
            column = int(x / self.image.shape[1] * len(lines[0]))
            for place, digit in enumerate(str(number), start=column):
                if 0 <= row < len(lines) and 0 <= place < len(lines[row]):
                    lines[row][place] = digit
        said = [f"{number}: ({x:.0f}, {y:.0f})" for number, (x, y) in enumerate(self.centres, start=1)]
        below = ["", *flow(said, width)]
        if self.seen is not None:
            blocks = []
            for name, pixels in zip(self._names(), self.seen, strict=True):
                shades = terminal.image(pixels, min(24, width))
                blocks.append([fit(name, 2 * (len(shades[0]) // 2)), *shades])
            below += ["", *terminal.beside(blocks, width)]
        return terminal.titled(self.title, ["".join(line) for line in lines] + below, width)

    def page(self) -> dict[str, Any]:
        return {
            "image": packed(enlarged(thinned(self.image, 1 << 16))), "centres": rounded(self.centres, 2),
            "sizes": rounded(self.sizes, 2), "labels": self._names(),
            "seen": None if self.seen is None else packed(enlarged(thinned(self.seen, 1 << 16))),
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "image": thinned(self.image, MOST),
            "centres": rounded(self.centres, 2), "sizes": rounded(self.sizes, 2),
            "seen": None if self.seen is None else thinned(self.seen, MOST), "labels": list(self.labels),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Glimpses":
        """Also from the evidence of earlier versions, which has no crops."""
        seen = plain.get("seen")
        return cls(**{**plain, "image": enlarged(plain["image"]), "seen": None if seen is None else enlarged(seen)})

    def _names(self) -> list[str]:
        return list(self.labels) or [str(number + 1) for number in range(len(self.centres))]

    def description(self) -> str:
        path = "; ".join(f"{number}: x {x:.0f}, y {y:.0f}" for number, (x, y) in enumerate(self.centres, start=1))
        high, wide = self.image.shape
        said = f"; after each: {', '.join(self.labels)}" if self.labels else ""
        return f"{self.title or 'Glimpses'} of an image of {wide} x {high} pixels, centres in pixels: {path}{said}"
