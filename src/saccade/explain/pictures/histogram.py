"""A histogram: counts over numbers or categories, of one or more series."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saccade.core.errors import InvalidInput
from saccade.core.task import Series
from saccade.explain import plots, terminal
from saccade.explain.pictures.curve import kept, lines_of, rounded_to
from saccade.explain.plots.series import Line, categories, checked_lines
from saccade.explain.text import cells, fit, flow

MOST = 300  # the most bars that evidence stores


@dataclass(frozen=True, eq=False)
class Histogram:
    """Bars: the start or the category of each, and its height.

    Raises:
        InvalidInput: no bars, different numbers of x and y, or counts that are below 0 or not finite.
    """

    name: str
    lines: Mapping[str, Line]
    """The bars of each series ("" for a single one): x, the starts, and y, the heights."""
    x_label: str
    """The label of the x axis, with the unit."""
    y_label: str
    title: str = ""

    def __post_init__(self) -> None:
        found = {name: Line(*line) for name, line in self.lines.items()}
        object.__setattr__(self, "lines", checked_lines(found))
        if not all(y >= 0 for line in self.lines.values() for y in line.y):
            raise InvalidInput("expected counts that are finite and not below 0")

    @classmethod
    def of(cls, series: Series | Mapping[str, Series], name: str, title: str = "") -> "Histogram":
        """The histogram of one series of a score, or of several by name; the axes are those of the first."""
        return cls(name, *lines_of(series), title)

    def figure(self) -> plots.Figure:
        return plots.bars(self.lines, self.x_label, self.y_label, self.title)

    def text(self, width: int) -> str:
        """A bar for each count."""
        width, lines = (
            terminal.narrowest(width),
            flow([f"{self.y_label} for each {self.x_label}"], terminal.narrowest(width)),
        )
        most = max(y for line in self.lines.values() for y in line.y) or 1.0
        for name, line in self.lines.items():
            starts = [x if isinstance(x, str) else f"{x:,g}" for x in line.x]
            counts = [f"{rounded_to(y)}" for y in line.y]
            left, right = min(max(map(cells, starts)), width // 3), max(map(len, counts))
            lines += [fit(name, min(cells(name), width))] if name else []
            lines += [
                f"{fit(start, left)}  {'█' * max(0, round(y / most * (width - left - right - 3)))} {count}"
                for start, y, count in zip(starts, line.y, counts, strict=True)
            ]
        return terminal.titled(self.title, lines, width)

    def page(self) -> dict[str, Any]:
        return {**self._kept(), "names": categories(self.lines)}

    def plain(self) -> dict[str, Any]:
        return {"name": self.name, "title": self.title, **self._kept()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Histogram":
        return cls(**{**plain, "lines": {name: Line(*line) for name, line in plain["lines"].items()}})

    def description(self) -> str:
        said = []
        for name, line in self.lines.items():
            most = max(range(len(line.y)), key=line.y.__getitem__)
            largest = f"the most at {line.x[most]}, {rounded_to(line.y[most])}"
            said.append(f"{name}: {largest}" if name else largest)
        return f"{self.title or self.y_label} for each {self.x_label}, {'; '.join(said)}"

    def _kept(self) -> dict[str, Any]:
        return {
            "x_label": self.x_label,
            "y_label": self.y_label,
            "lines": {k: kept(v, MOST) for k, v in self.lines.items()},
        }
