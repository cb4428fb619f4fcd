"""Nodes and edges at given positions."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from saccade.core.errors import require
from saccade.explain.plots.canvas import (
    GREY,
    Figure,
    colour_bar,
    colours,
    fit,
    our_style,
    page,
    renderer_of,
    write_title,
)
from saccade.explain.plots.tokens import short_labels

Edge = tuple[int, int, float]
FAINTEST = 0.2  # start of the colour scale, so that the weakest edge is visible
PAD, TALL = 0.05, 0.24  # inches: padding of a label in its box, and the height of a box
GAP, LINE = 0.55, 0.5  # inches: distance between neighbouring boxes, and between rows


def graph(
    nodes: Sequence[str],
    edges: Sequence[Edge],
    places: Sequence[tuple[float, float]],
    *,
    across: str = "",
    up: str = "",
    values: str = "weight",
    title: str = "",
) -> Figure:
    """Nodes as boxes with their labels, and an arrow for each edge, darker and thicker for a larger weight.

    Args:
        nodes: their labels, in the form of `labels`.
        edges: (from, to, weight); nodes are numbered from 0.
        places: the position of each node, x to the right and y upwards.
        across, up: labels of x and y; an axis without a label is not drawn.
        values: the name of the weights.
    """
    texts = [text or "␣" for text in short_labels(nodes)]
    with our_style(title, values, across, up, *texts):
        axes = page().add_axes((0, -1, 1, 1))  # in inches, like its content
        renderer = renderer_of(axes.figure)
        boxes = [
            axes.annotate(
                text, (0, 0), ha="center", va="center", zorder=3,
                bbox={"boxstyle": f"round,pad={PAD * 72 / 9}", "fc": "white", "ec": GREY, "lw": 0.8},
            )
            for text in texts
        ]  # fmt: skip
        widths = [box.get_window_extent(renderer).width / axes.figure.dpi + 2 * PAD for box in boxes]
        x, wide = _spread([place[0] for place in places], max(widths) + GAP)
        y, high = _spread([place[1] for place in places], LINE)
        where = list(zip(x, y, strict=True))
        for box, place in zip(boxes, where, strict=True):
            box.xy = place
            box.set_position(place)
        bends = [_bend(start, end, where) for start, end, _ in edges]
        # an arrow to the right passes below nodes in between
        dip = (
            0.16
            * wide
            * any(x[end] > x[start] for (start, end, _), bend in zip(edges, bends, strict=True) if bend == 0.3)
        )
        loop = 0.18 * any(start == end for start, end, _ in edges)
        left, right = (
            side * max(side * at + width / 2 for at, width in zip(x, widths, strict=True)) for side in (-1, 1)
        )
        limits = (left, right, -TALL / 2 - dip, high + TALL / 2 + loop)
        axes.set(xlim=limits[:2], ylim=limits[2:])
        axes.set_position((0, limits[2] - limits[3], limits[1] - limits[0], limits[3] - limits[2]))
        axes.spines[:].set_visible(False)
        _name(axes.xaxis, across, [place[0] for place in places], x)
        _name(axes.yaxis, up, [place[1] for place in places], y)
        mapping = _mapping([weight for *_, weight in edges])
        for (start, end, weight), bend in sorted(zip(edges, bends, strict=True), key=lambda edge: edge[0][2]):
            share = FAINTEST + (1 - FAINTEST) * float(mapping(weight))
            style = {"arrowstyle": "-|>", "color": colours()(share), "lw": 0.6 + 1.4 * share, "mutation_scale": 9}
            if start == end:  # a loop from one side of the box's top to the other
                ends = [(where[start][0] + side, where[start][1] + TALL / 2) for side in (-0.08, 0.08)]
                bend = -1.6
            else:
                ends = [_edge(where[start], where[end], widths[start]), _edge(where[end], where[start], widths[end])]
            style |= {"shrinkA": 0, "shrinkB": 0, "connectionstyle": f"arc3,rad={bend}"}
            axes.annotate("", ends[1], ends[0], arrowprops=style, annotation_clip=False, zorder=2)
        if len({weight for *_, weight in edges}) > 1:
            colour_bar(axes, require("matplotlib.cm", "app").ScalarMappable(mapping, colours()), values)
        write_title(axes, title)
        return fit(axes.figure)


def _spread(values: Sequence[float], apart: float) -> tuple[list[float], float]:
    """Positions in inches from 0, at least `apart` from each other if they all fit into 10 inches; and their extent."""
    different = sorted({round(value, 6) for value in values})
    reach = different[-1] - different[0]
    if not reach:
        return [0.0] * len(values), 0.0
    least = min(b - a for a, b in itertools.pairwise(different))
    inches = min(reach / least * apart, 10.0)
    return [(value - different[0]) / reach * inches for value in values], inches


def _edge(box: tuple[float, float], other: tuple[float, float], wide: float) -> tuple[float, float]:
    """The point where the line to another position leaves a box, in inches."""
    across, up = other[0] - box[0], other[1] - box[1]
    share = min(wide / 2 / max(abs(across), 1e-9), TALL / 2 / max(abs(up), 1e-9), 1.0)
    return box[0] + share * across, box[1] + share * up


def _mapping(weights: Sequence[float]) -> Any:
    least, most = min(0.0, *weights, 0.0), max([*weights, 0.0])
    return require("matplotlib.colors", "app").Normalize(least, most if most > least else least + 1)


def _bend(start: int, end: int, places: Sequence[tuple[float, float]]) -> float:
    """The curvature of an arrow: nearly straight, or around nodes in between."""
    (x0, y0), (x1, y1) = places[start], places[end]
    length = math.hypot(x1 - x0, y1 - y0)
    for number, (x, y) in enumerate(places):
        if number in (start, end) or not length:
            continue
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length**2
        if 0 < along < 1 and abs((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / length < 0.2:
            return 0.3
    return 0.08


def _name(axis: Any, name: str, values: Sequence[float], inches: Sequence[float]) -> None:
    """Write the label of an axis, with its values if there are few."""
    found = dict(zip(values, inches, strict=True))
    named = name and len(found) <= 20
    axis.set_ticks(list(found.values()) if named else [], [f"{value:g}" for value in found] if named else [])
    axis.set_label_text(name)
