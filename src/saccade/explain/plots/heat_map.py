"""Heat maps of attention weights, as in figure 3 of Bahdanau et al. 2015."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.explain.plots.arrays import numbers
from saccade.explain.plots.canvas import (
    GREY,
    PALE,
    Figure,
    Weights,
    colour_bar,
    colours,
    every,
    fit,
    our_style,
    page,
    renderer_of,
    write_title,
)
from saccade.explain.plots.tokens import SPECIAL, short_labels

Panel = tuple[Weights, Sequence[str], Sequence[str], str, str, str]  # with the labels of rows and columns, and a title
Scale = Literal["fixed", "own"]
Side = tuple[Sequence[str], list[str], float, int]  # tokens, texts, inches per cell, and which tokens are labelled


def matrix(weights: Weights, rows: Sequence[str], columns: Sequence[str]) -> list[list[float]]:
    """The weights as lists, checked against the labels of rows and columns.

    Raises:
        InvalidInput: the wrong shape, no labels, or a weight that is below 0 or not finite.
    """
    try:
        found = [[float(x) for x in row] for row in (weights.tolist() if hasattr(weights, "tolist") else weights)]
    except TypeError as error:
        raise InvalidInput("expected a matrix of attention weights (rows, columns)") from error
    widths = sorted({len(row) for row in found})
    if not rows or not columns or len(found) != len(rows) or widths != [len(columns)]:
        got = f"{len(found)} rows of {' or '.join(map(str, widths)) or 'no'}"
        raise InvalidInput(
            f"expected weights for {len(rows)} rows of {len(columns)} columns, at least one of each; got {got}"
        )
    if not all(0 <= x < math.inf for row in found for x in row):  # false for NaN too
        raise InvalidInput("expected attention weights that are finite and not below 0")
    return found


def alignment(
    weights: Weights,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    rows_label: str = "target",
    columns_label: str = "source",
    title: str = "",
    scale: Scale = "fixed",
) -> Figure:
    """Heat map of weights (q, k) as in figure 3 of Bahdanau et al. 2015: columns along the top, rows down the side.

    White is 0; dark blue is 1, or the largest weight if it is above 1, for weights that are not a distribution. With
    `scale="own"` dark blue is the largest weight, so that soft maps are readable too; the colour bar says so. Cells are
    square up to 60 tokens; in longer sentences every n-th token is labelled, with a tick. `rows` and `columns` are
    tokens in the form of `labels`, cut after 40 characters.

    Raises:
        InvalidInput: as `matrix`.
    """
    return alignments([(weights, rows, columns, rows_label, columns_label, title)], scale=scale)


def alignments(
    panels: Sequence[Panel], values: str = "attention weight", scale: Scale | Sequence[Scale] = "fixed"
) -> Figure:
    """Several heat maps as in `alignment`, side by side with one colour bar; panels of scale "own" have their own.

    A panel is (weights, rows, columns, rows_label, columns_label, title); `values` is the name of the weights.

    Raises:
        InvalidInput: no panel, or as for `matrix`.
    """
    if not panels:
        raise InvalidInput("expected at least one panel to draw")
    tables = [matrix(weights, rows, columns) for weights, rows, columns, *_ in panels]
    scales = [scale] * len(panels) if isinstance(scale, str) else list(scale)
    if not set(scales) <= {"fixed", "own"} or len(scales) != len(panels):
        raise InvalidInput(f"expected the scale fixed or own, or one of them for each panel, got {scale!r}")
    tops = [max(x for row in table for x in row) for table in tables]
    common = max(tops) if max(tops) > 1.001 else 1.0  # rounding may exceed 1
    largest = [(top or 1.0) if own == "own" else common for top, own in zip(tops, scales, strict=True)]
    most = max(len(tokens) for _, rows, columns, *_ in panels for tokens in (rows, columns))
    sides = [_sides(rows, columns, most) for _, rows, columns, *_ in panels]
    words = [text for panel, both in zip(panels, sides, strict=True) for text in (*both[0][1], *both[1][1], *panel[3:])]
    with our_style(*words):
        figure = page()
        last = max((i for i, own in enumerate(scales) if own == "fixed"), default=None)
        for i, (table, both, top, (*_, rows_label, columns_label, title)) in enumerate(
            zip(tables, sides, largest, panels, strict=True)
        ):
            axes = _map(figure, table, both, top)
            axes.set(xlabel=columns_label, ylabel=rows_label)
            write_title(axes, title, narrowest=40 if len(panels) == 1 else 28)
            if scales[i] == "own":
                colour_bar(axes, axes.collections[0], f"{values} (scale of this map)")
            elif i == last:
                colour_bar(axes, axes.collections[0], values)
        return fit(_side_by_side(figure))


def head_grid(layers: Sequence[Weights], names: Sequence[str] = (), title: str = "") -> Figure:
    """A thumbnail of every head, one row per layer, without the words.

    Queries are rows and keys are columns, as in `alignment`. The scale of each head ends at its largest weight, so that
    heads that spread their attention are as visible as those that attend to a single key. If layers have maps of
    several sizes, all are drawn as squares of one size, and each pixel shows the largest of its weights.

    Args:
        layers: for each layer the weights (h, q, k) of its heads.
        names: names of the layers; by default their numbers, from 0.

    Raises:
        InvalidInput: no layers, or weights that are below 0 or not finite.
    """
    tables = [numbers(heads) for heads in layers]
    got = f"{', '.join(map(str, sorted({table.shape for table in tables}))) or 'nothing'} and {len(names)} names"
    if not tables or any(table.ndim != 3 or 0 in table.shape for table in tables) or len(names) not in (0, len(tables)):
        raise InvalidInput(f"expected weights (h, q, k), at least one layer, and a name for each; got {got}")
    if not all((np.isfinite(table) & (table >= 0)).all() for table in tables):
        raise InvalidInput("expected attention weights that are finite and not below 0")
    if len({table.shape[1:] for table in tables}) > 1:
        side = min(48, max(max(table.shape[1:]) for table in tables))
        tables = [_square(table, side) for table in tables]
    count, heads, (queries, keys) = len(tables), max(map(len, tables)), tables[0].shape[1:]
    gap = max(1, round(max(queries, keys) / 8))
    down, along = queries + gap, keys + gap
    picture = np.full((count * down - gap, heads * along - gap), np.nan)
    for layer, table in enumerate(tables):
        for head, weights in enumerate(table):
            place = slice(layer * down, layer * down + queries), slice(head * along, head * along + keys)
            picture[place] = weights / (weights.max() or 1.0)
    # inches per weight; a head of few tokens is small
    size = min(min(0.9, 11 / heads, 14 / count) / max(queries, keys), 0.22)
    with our_style(title, *names):
        high = size * picture.shape[0]
        axes = page().add_axes((0, -high, size * picture.shape[1], high))
        drawn = axes.pcolormesh(picture, vmin=0, vmax=1, cmap=colours(), rasterized=True)
        axes.set_facecolor(PALE)
        axes.invert_yaxis()
        axes.xaxis.set(ticks_position="top", label_position="top")
        axes.xaxis.set_ticks([head * along + keys / 2 for head in range(heads)], [str(head) for head in range(heads)])
        said = list(names) or [str(layer) for layer in range(count)]
        axes.yaxis.set_ticks([layer * down + queries / 2 for layer in range(count)], said)
        axes.tick_params(length=0)
        axes.set(xlabel="head", ylabel="layer")
        write_title(axes, title)
        colour_bar(axes, drawn, "share of the head's largest")
        return fit(axes.figure)


def _square(table: Any, side: int) -> Any:
    """Maps (h, q, k) as (h, side, side), with the largest of the weights that share a pixel."""
    for axis in (1, 2):
        size = table.shape[axis]
        starts = np.arange(side) * size // side
        # one pixel per weight if there are few, one for several if there are many
        table = np.maximum.reduceat(table, starts, axis) if size > side else table.take(starts, axis)
    return table


def _sides(rows: Sequence[str], columns: Sequence[str], most: int) -> list[Side]:
    """The layout of columns and rows, given the number of tokens on the longer side."""
    sides = []
    for tokens in (columns, rows):
        texts = short_labels(tokens)
        cell = min(max(6 / most, 0.22), 0.36, 13.2 / len(tokens))  # inches; a line of rotated text needs 0.22
        sides.append((tokens, texts, cell, every(cell)))
    return sides


def _map(figure: Figure, table: list[list[float]], sides: list[Side], largest: float) -> Any:
    """Draw one heat map in a figure of one inch by one inch, below it, and return its axes."""
    width, height = (cell * len(tokens) for tokens, _, cell, _ in sides)
    axes = figure.add_axes((0, -height, width, height))
    # as an image, since thousands of shapes make an SVG slow, with visible seams
    few = max(len(tokens) for tokens, *_ in sides) <= 40
    drawn: Any = {"edgecolors": PALE, "linewidth": 0.4} if few else {"rasterized": True}
    axes.pcolormesh(table, vmin=0, vmax=largest, cmap=colours(), **drawn)
    axes.spines[:].set_visible(True)
    axes.invert_yaxis()
    axes.xaxis.set(ticks_position="top", label_position="top")
    for axis, (tokens, texts, _, nth) in zip((axes.xaxis, axes.yaxis), sides, strict=True):
        axis.set_ticks([i + 0.5 for i in range(0, len(texts), nth)], texts[::nth])
        axis.set_tick_params(length=0 if nth == 1 else 3)
        for label, token in zip(axis.get_ticklabels(), tokens[::nth], strict=True):
            if SPECIAL.fullmatch(token):  # the special token "end", not the word
                label.set(color=GREY, style="italic")
    for label in axes.get_xticklabels():
        label.set(rotation=45, rotation_mode="anchor", ha="left", va="center")
    return axes


def _side_by_side(figure: Figure, gap: float = 0.3) -> Figure:
    """Move the axes apart so that they do not overlap, and align their titles.

    The figure is one inch by one inch; the gap is in inches.
    """
    renderer, left = renderer_of(figure), 0.0
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    for axes, box in zip(figure.axes, boxes, strict=True):
        place = axes.get_position()
        axes.set_position((place.x0 + left - box.x0 / figure.dpi, place.y0, place.width, place.height))
        axes.xaxis.labelpad += (max(other.y1 for other in boxes) - box.y1) * 72 / figure.dpi  # raises the title too
        left += box.width / figure.dpi + gap
    return figure
