"""Lines through points, and histograms."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from saccade.core.errors import InvalidInput
from saccade.explain.plots.canvas import GREY, Figure, blank, finish, fit, our_style, write_title
from saccade.explain.plots.charts import COLOURS, MARKERS, count_below

MARKED = 40  # the most points of a line with markers


class Line(NamedTuple):
    """The points of a line, or bars: numbers or categories, with a number for each."""

    x: Sequence[float | str]
    y: Sequence[float]
    counts: Sequence[int] = ()
    """The number of examples behind each point; () if unknown."""


def checked_lines(found: Mapping[str, Line]) -> dict[str, Line]:
    """The lines with numbers as floats; a number that is not finite becomes NaN, a gap.

    Raises:
        InvalidInput: no line, a line without points, or with different numbers of x, y and counts; an x that is not
            finite; a line without finite numbers.
    """
    if not found:
        raise InvalidInput("expected at least one line of points")
    named = any(isinstance(x, str) for line in found.values() for x in line.x)
    lines = {}
    for name, line in found.items():
        if not len(line.x) or len(line.x) != len(line.y) or len(line.counts) not in (0, len(line.x)):
            got = f"{len(line.x)} x, {len(line.y)} y, {len(line.counts)} counts"
            raise InvalidInput(f"{name or 'the line'}: expected at least one x, and an equal number of y; got {got}")
        x = [str(each) if named else float(each) for each in line.x]
        y = [float(each) if each is not None and math.isfinite(each) else math.nan for each in line.y]
        if all(map(math.isnan, y)) or not all(isinstance(each, str) or math.isfinite(each) for each in x):
            raise InvalidInput(f"{name or 'the line'}: expected finite numbers")
        lines[name] = Line(x, y, [int(each) for each in line.counts])
    return lines


def categories(found: Mapping[str, Line]) -> list[str] | None:
    """The categories in order, if x are names: sorted by number if each begins with one, such as "3-4"; otherwise in
    the given order."""
    names = list(dict.fromkeys(x for line in found.values() for x in line.x))
    if not any(isinstance(name, str) for name in names):
        return None
    texts = [str(name) for name in names]
    numbers = [re.match(r"-?\d+(\.\d+)?", text) for text in texts]
    starts = [float(number[0]) for number in numbers if number]
    if len(starts) == len(texts):
        texts = [texts[i] for i in sorted(range(len(texts)), key=starts.__getitem__)]
    return texts


def lines(found: Mapping[str, Line], across: str, up: str, title: str = "") -> Figure:
    """Lines over numbers or categories, with gaps where a number is not finite.

    The axis starts at 0 unless a number is below 0 or the lines are far above. Counts, if known, are written below the
    points.

    Args:
        found: the points of each line by its name ("" for a single line).

    Raises:
        InvalidInput: as `checked_lines`.
    """
    given = checked_lines(found)
    names = categories(given)
    with our_style(title, across, up, *given, *(names or ())):
        axes = blank(max(3.0, min(9.0, 0.62 * len(names))) if names else 5.0, 2.9)
        places: dict[Any, float] = {name: i for i, name in enumerate(names or ())}
        for i, (name, line) in enumerate(given.items()):
            points = sorted((places.get(x, x), y) for x, y in zip(line.x, line.y, strict=True))
            few = len(points) <= MARKED
            style = {"ms": 5 if few else 3, "lw": 1.5 if few else 1.1, "color": COLOURS[i % 6], "clip_on": False}
            axes.plot(*zip(*points, strict=True), f"{MARKERS[i % 5]}-" if few else "-", label=name, **style)
        _range(axes, [y for line in given.values() for y in line.y if not math.isnan(y)])
        axes.set(xlabel=across, ylabel=up)
        _across(axes, given, names)
        _counts(axes, given, names)
        return finish(axes, title, legend=len(given) > 1)


def _range(axes: Any, numbers: Sequence[float]) -> None:
    least, most = min(numbers), max(numbers)
    if 0 <= least <= 0.4 * most or least == most == 0:
        axes.set_ylim(0, None if most else 1)


def _across(axes: Any, given: Mapping[str, Line], names: Sequence[str] | None) -> None:
    """Label the x axis: every n-th category, or numbers."""
    if names is None:
        if all(float(x).is_integer() for line in given.values() for x in line.x):
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.xaxis.set_major_formatter("{x:,.0f}")
        return
    nth = math.ceil(len(names) / 16)
    shown = [re.sub("-$", "+", re.sub(r"(?<=\d)-(?=\d)", "–", text)) for text in names]
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xticks(range(0, len(names), nth), shown[::nth])
    if max(map(len, shown)) > 8:
        for label in axes.get_xticklabels():
            label.set(rotation=30, rotation_mode="anchor", ha="right", va="center")


def _counts(axes: Any, given: Mapping[str, Line], names: Sequence[str] | None) -> None:
    places: Any = names or sorted({x for line in given.values() for x in line.x})
    known = {name: line for name, line in given.items() if line.counts}
    if not known or len(places) > 16 or max(map(len, names or ("",))) > 8:
        return
    counts = {}
    for i, (name, line) in enumerate(given.items()):
        if line.counts:
            at = dict(zip(line.x, line.counts, strict=True))
            texts = [f"{at[x]:,}" if x in at else "–" for x in places]
            counts[f"{name}: examples" if name else "examples"] = COLOURS[i % 6], texts
    if len({tuple(texts) for _, texts in counts.values()}) == 1:  # all lines are scores of the same examples
        counts = {"examples": (GREY, texts)}
    count_below(axes, counts, range(len(places)) if names else places)


def bars(found: Mapping[str, Line], across: str, up: str, title: str = "") -> Figure:
    """A bar for each count: x is the start of the bar, or a category. Bars of several lines are side by side.

    Raises:
        InvalidInput: as `checked_lines`.
    """
    given = checked_lines(found)
    names = categories(given)
    starts = sorted({x for line in given.values() for x in line.x if not isinstance(x, str)})
    whole = 0.8 if names else min((b - a for a, b in itertools.pairwise(starts)), default=1.0)
    width = whole / len(given)
    with our_style(title, across, up, *given, *(names or ())):
        axes = blank(max(3.0, min(9.0, 0.5 * len(names))) if names else 4.6, 2.6)
        places: dict[Any, float] = {name: i - 0.4 for i, name in enumerate(names or ())}
        for i, (name, line) in enumerate(given.items()):
            left = [(places[x] if isinstance(x, str) else x) + i * width for x in line.x]
            heights = [0.0 if math.isnan(y) else y for y in line.y]
            axes.bar(left, heights, width, align="edge", color=COLOURS[i % 6], edgecolor="white", lw=0.4, label=name)
        if all(y == int(y) for line in given.values() for y in line.y if not math.isnan(y)):
            axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel=across, ylabel=up)
        if names:
            _across(axes, given, names)
        if len(given) > 1:
            axes.legend(
                loc="lower left", bbox_to_anchor=(0, 1), ncols=min(3, len(given)), borderaxespad=0.3, borderpad=0
            )
        write_title(axes, title, pad=10 + 14 * math.ceil(len(given) / 3) if len(given) > 1 else 8)
        return fit(axes.figure)
