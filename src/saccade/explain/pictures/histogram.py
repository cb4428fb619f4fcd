"""A histogram: counts over numbers or categories, of one or more series."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saccade.core.errors import InvalidInput
from saccade.explain import plots, terminal
from saccade.explain.pictures.curve import Chart, rounded_to
from saccade.explain.plots.series import Line, categories
from saccade.explain.text import cells, fit, flow

MOST = 300  # the most bars that evidence stores


@dataclass(frozen=True, eq=False)
class Histogram(Chart):
    """Bars: the start or the category of each, and its height.

    Raises:
        InvalidInput: no bars, different numbers of x and y, or counts that are below 0 or not finite.
    """

    lines: Mapping[str, Line]
    """The bars of each series ("" for a single one): x, the starts, and y, the heights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(y >= 0 for line in self.lines.values() for y in line.y):
            raise InvalidInput("expected counts that are finite and not below 0")

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
        lines = merged(self.lines)
        return {**self._kept(lines), "names": categories(lines)}

    def plain(self) -> dict[str, Any]:
        return {"name": self.name, "title": self.title, **self._kept(merged(self.lines))}

    def description(self) -> str:
        said = []
        for name, line in self.lines.items():
            most = max(range(len(line.y)), key=line.y.__getitem__)
            largest = f"the most at {line.x[most]}, {rounded_to(line.y[most])}"
            said.append(f"{name}: {largest}" if name else largest)
        return f"{self.title or self.y_label} for each {self.x_label}, {'; '.join(said)}"


def merged(lines: Mapping[str, Line]) -> dict[str, Line]:
    """At most `MOST` bars of each line: neighbours become one bar, whose height is their sum."""
    named = categories(lines)
    places: Sequence[Any] = named or sorted({x for line in lines.values() for x in line.x})
    size = math.ceil(len(places) / MOST)
    if size == 1:
        return dict(lines)
    groups = [places[first : first + size] for first in range(0, len(places), size)]
    labels = [f"{group[0]} … {group[-1]}" if named and len(group) > 1 else group[0] for group in groups]
    label_of = {place: label for group, label in zip(groups, labels, strict=True) for place in group}
    return {name: summed(line, [label_of[x] for x in line.x]) for name, line in lines.items()}


def summed(line: Line, labels: Sequence[Any]) -> Line:
    """The bars that have the same label as one."""
    y: dict[Any, float] = {}
    counts: dict[Any, int] = {}
    for place, label in enumerate(labels):
        y[label] = y.get(label, 0) + line.y[place]
        counts[label] = counts.get(label, 0) + (line.counts[place] if line.counts else 0)
    return Line(list(y), list(y.values()), list(counts.values()) if line.counts else [])
