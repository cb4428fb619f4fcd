"""Overviews: one number for each layer and head; and encodings of positions."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from saccade.core.printable import printable
from saccade.explain.plots.arrays import checked, named
from saccade.explain.plots.canvas import (
    WHITE_TO_BLUE,
    Figure,
    Weights,
    colour_bar,
    colours,
    count,
    every,
    fit,
    our_style,
    page,
    write_title,
)

# from orange through grey to blue, with lightness L* from 95 through 65 to 20, so that signs differ in grey print, too
BELOW_AND_ABOVE = ((0.0, "#fff0d9"), (0.25, "#fdc38d"), (0.5, "#9e9e9e"), (0.75, "#2f6fae"), (1.0, "#08306b"))


def layer_overview(
    values: Weights, what: str, *, layers: Sequence[str] = (), heads: Sequence[str] = (), title: str = ""
) -> Figure:
    """One number per head, such as its entropy or distance: a row for each layer, a column for each head.

    White is 0, dark blue the largest number, or the lowest if none is above 0. If numbers have both signs, the scale is
    symmetric around a grey 0: light orange below, dark blue above. Up to 400 heads, the numbers are written into the
    cells.

    Args:
        values: (layers, heads).
        what: the name and the unit of the numbers, such as "entropy (nats)".
        layers, heads: their names; by default their numbers, from 0.

    Raises:
        InvalidInput: the wrong shape, a number that is not finite, or the wrong number of names.
    """
    table = checked(values, "layers heads", "numbers")
    rows, columns = (
        [printable(name)[:40] for name in named(names, size, kind)]
        for names, size, kind in ((layers, len(table), "layers"), (heads, table.shape[1], "heads"))
    )
    few = table.size <= 400
    with our_style(title, what, *rows, *columns):
        wide, high = min(0.42, 11 / len(columns)), min(0.26, 13.2 / len(rows))
        axes = page().add_axes((0, -high * len(rows), wide * len(columns), high * len(rows)))
        least, most = min(0.0, float(table.min())), max(0.0, float(table.max()))
        most = most if most > least else least + 1
        signed = least < 0 < most
        if signed:
            least, most = -max(-least, most), max(-least, most)
        drawn = axes.imshow(
            table, cmap=colours(BELOW_AND_ABOVE if signed else WHITE_TO_BLUE), vmin=least, vmax=most, aspect="auto",
            interpolation="nearest", extent=(0, len(columns), len(rows), 0),
        )  # fmt: skip
        axes.spines[:].set_visible(True)
        axes.xaxis.set(ticks_position="top", label_position="top")
        turned = max(map(len, columns)) > 4
        across = every(wide, 0.22 if turned else 0.36)
        for axis, names, nth in ((axes.xaxis, columns, across), (axes.yaxis, rows, every(high))):
            axis.set_ticks([i + 0.5 for i in range(0, len(names), nth)], names[::nth])
            axis.set_tick_params(length=0 if nth == 1 else 3)
        if turned:
            for label in axes.get_xticklabels():
                label.set(rotation=45, rotation_mode="anchor", ha="left", va="center")
        axes.set(xlabel="head", ylabel="layer")
        if few and wide == 0.42:
            _write_numbers(axes, table, least, most)
        write_title(axes, title)
        colour_bar(axes, drawn, what)
        return fit(axes.figure)


def positions(table: Weights, title: str = "") -> Figure:
    """Encodings of positions and, beside them, the dot products of all pairs, which show their similarity.

    Scales are symmetric around 0; in grey print, values below 0 are light and values above 0 dark. If no value is below
    0, white is 0.

    Args:
        table: (positions, features).

    Raises:
        InvalidInput: the wrong shape, or a number that is not finite.
    """
    encodings = checked(table, "positions features", "encodings")
    high, left = _inches(len(encodings)), 0.0
    with our_style(title):
        figure = page()
        for drawn, across, values in (
            (encodings, "feature", "encoding"), (encodings @ encodings.T, "position", "dot product"),
        ):  # fmt: skip
            wide = _inches(drawn.shape[1])
            axes = figure.add_axes((left, -high, wide, high))
            most, signed = float(abs(drawn).max()) or 1.0, bool((drawn < 0).any())
            mapped = axes.imshow(
                drawn, cmap=colours(BELOW_AND_ABOVE if signed else WHITE_TO_BLUE), vmin=-most if signed else 0,
                vmax=most, aspect="auto", interpolation="nearest",
            )  # fmt: skip
            axes.spines[:].set_visible(True)
            axes.set(xlabel=across, ylabel="position")
            count(axes.xaxis, drawn.shape[1], wide)
            count(axes.yaxis, len(drawn), high)
            colour_bar(axes, mapped, values)
            left += wide + 1.5
        write_title(figure.axes[0], title, pad=14)  # with a larger distance, since it may overlap the next title
        return fit(figure)


def _inches(cells: int) -> float:
    return min(4.0, max(0.5, 0.22 * cells))


def _write_numbers(axes: Any, table: Any, least: float, most: float) -> None:
    """Write the numbers, with three digits for the largest, if they fit into the cells."""
    largest = float(abs(table).max()) or 1.0
    decimals = min(max(0, 2 - math.floor(math.log10(largest))), 4)
    texts = [[f"{value:.{decimals}f}" for value in row] for row in table]
    if max(len(text) for row in texts for text in row) > 6:
        return
    for row, column in itertools.product(range(len(table)), range(table.shape[1])):
        dark = (table[row, column] - least) / (most - least) > 0.5
        style = {"ha": "center", "va": "center", "fontsize": 7, "color": "white" if dark else "black"}
        axes.text(column + 0.5, row + 0.5, texts[row][column], **style)
