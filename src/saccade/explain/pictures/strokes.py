"""The strokes of a pen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.explain import plots
from saccade.explain.plots.arrays import checked, rounded
from saccade.explain.terminal import dots, narrowest, titled


@dataclass(frozen=True, eq=False)
class Strokes:
    """Points (t, 3): x, y (upwards), and 1 where a stroke ends.

    Raises:
        InvalidInput: no points, another shape, or a number that is not finite.
    """

    name: str
    points: plots.Weights
    unit: str = ""
    """The unit of x and y."""
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", checked(self.points, "t 3", "points"))

    def figure(self) -> plots.Figure:
        return plots.pen(self.points, self.unit)

    def text(self, width: int) -> str:
        return titled(self.title, dots([stroke[:, :2] for stroke in self._strokes()], narrowest(width)), width)

    def page(self) -> dict[str, Any]:
        return {"points": rounded(self.points * [1, -1, 1], 4), "unit": self.unit}

    def plain(self) -> dict[str, Any]:
        points = [[*rounded(place, 2), int(end > 0.5)] for *place, end in self.points]
        return {"name": self.name, "title": self.title, "unit": self.unit, "points": points}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Strokes":
        return cls(**plain)

    def description(self) -> str:
        return f"{self.title or 'Pen strokes'}: {len(self.points)} points in {len(self._strokes())} strokes"

    def _strokes(self) -> list[Any]:
        ends = np.flatnonzero(self.points[:-1, 2] > 0.5) + 1
        return np.split(self.points, ends)
