"""Nodes and edges at given places."""

import math
from collections.abc import Sequence
from typing import Any

from saccade.core.errors import require
from saccade.explain.plots.canvas import GREY, Figure, colours, fit, our_style, page, scale, write_title
from saccade.explain.plots.tokens import short_labels

Edge = tuple[int, int, float]
FAINTEST = 0.15  # of the colour scale, so that the weakest edge is seen


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
        nodes: their labels, as `labels` takes them.
        edges: (from, to, weight), nodes by their numbers from 0.
        places: x to the right and y upwards of each node.
        across, up: what x and y are; an axis without a name is not drawn.
        values: what the weights are.
    """
    texts = short_labels(nodes)
    wide, high = _inches([x for x, _ in places]), _inches([y for _, y in places])
    with our_style(title, values, across, up, *texts):
        axes = page().add_axes((0, -high, wide, high))
        axes.spines[:].set_visible(False)
        least, most = min((w for *_, w in edges), default=0.0), max((w for *_, w in edges), default=1.0)
        least = 0.0 if least >= 0 else least
        mapping = require("matplotlib.colors", "app").Normalize(least, most if most > least else least + 1)
        shades = colours()
        boxes = [
            axes.annotate(
                text or "␣", place, ha="center", va="center", zorder=3,
                bbox={"boxstyle": "round,pad=0.3", "fc": "white", "ec": GREY, "lw": 0.8},
            )
            for text, place in zip(texts, places, strict=True)
        ]  # fmt: skip
        axes.update_datalim(places)
        axes.autoscale_view()
        axes.margins(0.6 / wide, 0.5 / high)
        for start, end, weight in sorted(edges, key=lambda edge: edge[2]):
            share = FAINTEST + (1 - FAINTEST) * float(mapping(weight))
            style = {"arrowstyle": "-|>", "color": shades(share), "lw": 0.6 + 1.6 * float(mapping(weight))}
            bend = _bend(start, end, places)
            style |= {"patchA": boxes[start].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch(), "shrinkB": 2}
            axes.annotate("", places[end], places[start], arrowprops={**style, "connectionstyle": bend}, zorder=2)
        _axis(axes.xaxis, across, [x for x, _ in places])
        _axis(axes.yaxis, up, [y for _, y in places])
        if len({weight for *_, weight in edges}) > 1:
            drawn = require("matplotlib.cm", "app").ScalarMappable(mapping, shades)
            scale(axes, drawn, values)
        write_title(axes, title)
        return fit(axes.figure)


def _inches(values: Sequence[float]) -> float:
    """How far nodes at so many different places reach."""
    return min(9.0, max(1.2, 0.9 * len({round(value, 6) for value in values})))


def _bend(start: int, end: int, places: Sequence[tuple[float, float]]) -> str:
    """Straight, but around what stands on the way, and around the node itself."""
    (x0, y0), (x1, y1) = places[start], places[end]
    if start == end:
        return "arc3,rad=1.4"
    length = math.hypot(x1 - x0, y1 - y0)
    for number, (x, y) in enumerate(places):
        if number in (start, end) or not length:
            continue
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length**2
        away = abs((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / length
        if 0 < along < 1 and away < 0.1 * length:
            return "arc3,rad=0.35"
    return "arc3,rad=0.08"


def _axis(axis: Any, name: str, values: Sequence[float]) -> None:
    if not name:
        axis.set_ticks([])
        return
    axis.set_label_text(name)
    if all(float(value).is_integer() for value in values) and len(set(values)) <= 20:
        axis.set_ticks(sorted(set(values)), [f"{value:.0f}" for value in sorted(set(values))])
