"""One or more lines, such as the losses over the steps of a training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from saccade.core.task import Series
from saccade.explain import plots, terminal
from saccade.explain.plots.series import Line, categories, checked_lines
from saccade.explain.text import cells, fit, flow

MOST, DRAWN = 200, 1000  # the most points of a line that evidence stores and a page draws


C = TypeVar("C", bound="Chart")


@dataclass(frozen=True, eq=False)
class Chart:
    """Lines over one axis: the values of a curve and of a histogram."""

    name: str
    lines: Mapping[str, Line]
    x_label: str
    """The label of the x axis, with the unit."""
    y_label: str
    title: str = ""

    def __post_init__(self) -> None:
        found = {name: Line(*line) for name, line in self.lines.items()}
        object.__setattr__(self, "lines", checked_lines(found))

    @classmethod
    def of(cls: type[C], series: Series | Mapping[str, Series], name: str, title: str = "") -> C:
        """The picture of one series of a score, or of several by name; the axes are those of the first."""
        named = {"": series} if isinstance(series, Series) else dict(series)
        first = next(iter(named.values()), Series((), (), "", ""))
        lines = {name: Line(one.x, one.y, one.counts) for name, one in named.items()}
        return cls(name, lines, first.x_label, first.y_label, title)

    @classmethod
    def from_plain(cls: type[C], plain: Mapping[str, Any]) -> C:
        return cls(**{**plain, "lines": {name: Line(*line) for name, line in plain["lines"].items()}})

    def _kept(self, lines: Mapping[str, Line]) -> dict[str, Any]:
        """The axes, and lines with five digits."""
        rounded = {name: kept(line) for name, line in lines.items()}
        return {"x_label": self.x_label, "y_label": self.y_label, "lines": rounded}


@dataclass(frozen=True, eq=False)
class Curve(Chart):
    """Lines over numbers, or over the names of categories.

    Raises:
        InvalidInput: no lines, one without points or without finite numbers, or with different numbers of x and y.
    """

    lines: Mapping[str, Line]
    """The points of each line by its name ("" for a single line); a y that is not finite is a gap."""

    def figure(self) -> plots.Figure:
        return plots.lines(self.lines, self.x_label, self.y_label, self.title)

    def text(self, width: int) -> str:
        """Each line as a row of bars, from its smallest to its largest value, and the values if there are few."""
        width, names = terminal.narrowest(width), list(self.lines)
        left = min(max(map(cells, names)), width // 3)
        lines = [*flow([f"{self.y_label} over {self.x_label}"], width)]
        for name, line in self.lines.items():
            least, most = (rounded_to(pick(y for y in line.y if not math.isnan(y)), 4) for pick in (min, max))
            said = f"{least} to {most}, last {rounded_to(line.y[-1], 4)}"
            drawn = terminal.spark([y for _, y in self._sorted(line)], max(4, width - left - len(said) - 4))
            lines += flow([f"{fit(name, left)}  {drawn}" if left else drawn, said], width)
        if max(len(line.x) for line in self.lines.values()) <= 12:
            for name, line in self.lines.items():
                numbers = [f"{_said(x)}: {rounded_to(y, 4)}" for x, y in self._sorted(line)]
                lines += ["", *flow([*([name] if name else []), *numbers], width)]
        return terminal.titled(self.title, lines, width)

    def page(self) -> dict[str, Any]:
        return {**self._kept(self._thinned(DRAWN)), "names": categories(self.lines)}

    def plain(self) -> dict[str, Any]:
        return {"name": self.name, "title": self.title, **self._kept(self._thinned(MOST))}

    def description(self) -> str:
        said = []
        for name, line in self.lines.items():
            ends = f"from {rounded_to(line.y[0], 4)} to {rounded_to(line.y[-1], 4)}"
            said.append(f"{name} {ends}" if name else ends)
        return f"{self.title or self.y_label} over {self.x_label}: {'; '.join(said)}"

    def _sorted(self, line: Line) -> list[tuple[Any, float]]:
        order: Any = (categories(self.lines) or []).index if isinstance(line.x[0], str) else float
        return sorted(zip(line.x, line.y, strict=True), key=lambda point: order(point[0]))

    def _thinned(self, most: int) -> dict[str, Line]:
        return {name: thinned(line, most) for name, line in self.lines.items()}


def thinned(line: Line, most: int) -> Line:
    """At most `most` points at equal distances, including the first and the last."""
    size = len(line.x)
    some = range(size) if size <= most else sorted({round(i * (size - 1) / (most - 1)) for i in range(most)})
    return Line([line.x[i] for i in some], [line.y[i] for i in some], [line.counts[i] for i in some if line.counts])


def kept(line: Line) -> list[list[Any]]:
    """The points, with five digits."""
    x = [one if isinstance(one, str) else rounded_to(float(one)) for one in line.x]
    return [x, [rounded_to(y) for y in line.y], list(line.counts)]


def rounded_to(number: float, digits: int = 5) -> Any:
    """Rounded to significant digits; a whole number as an int, None if it is not finite."""
    if not math.isfinite(number):
        return None
    found = float(f"{number:.{max(digits, len(str(int(abs(number)))))}g}")
    return int(found) if found.is_integer() else found


def _said(x: float | str) -> str:
    return x if isinstance(x, str) else f"{x:,g}"
