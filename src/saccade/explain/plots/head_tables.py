"""A number for each head of each layer, as small maps."""

from collections.abc import Mapping
from typing import Any

from saccade.explain.plots.canvas import PALE, Figure, colour_bar, colours, every, fit, our_style, page, write_title

ACROSS, WIDE, GAP = 3, 2.6, 0.95  # maps in a row, their width in inches, and the room between two


def head_tables(tables: Mapping[str, Any], own: Mapping[str, str], values: str, title: str = "") -> Figure:
    """Maps with a row for each layer and a column for each head.

    Args:
        tables: the name of each map -> (layers, heads).
        own: maps with a scale of their own -> the name of their numbers.
        values: the name of the numbers of the others, whose common scale ends at the largest of them.
    """
    common = max((float(table.max()) for name, table in tables.items() if name not in own), default=1.0) or 1.0
    layers, heads = next(iter(tables.values())).shape
    cell = min(0.32, WIDE / heads)
    width, height = cell * heads, cell * layers
    # as an image, since thousands of shapes make an SVG slow
    style: Any = {"edgecolors": PALE, "linewidth": 0.4} if layers * heads <= 100 else {"rasterized": True}
    across, down = max(width, 1.3) + 1.5 * GAP, max(height, 1.4) + GAP
    with our_style(title, values, *tables, *own.values()):
        figure = page()
        above = figure.add_axes((0, 0.45, across * (min(len(tables), ACROSS) - 1) + width, 0.01))
        above.set_axis_off()
        above.set(xticks=[], yticks=[])
        write_title(above, title)
        for number, (name, table) in enumerate(tables.items()):
            left, top = across * (number % ACROSS), down * (number // ACROSS)
            axes = figure.add_axes((left, -top - height, width, height))
            largest = float(table.max()) or 1.0 if name in own else common
            drawn = axes.pcolormesh(table, vmin=0, vmax=largest, cmap=colours(), **style)
            axes.spines[:].set_visible(True)
            axes.invert_yaxis()
            for axis, size in ((axes.xaxis, heads), (axes.yaxis, layers)):
                axis.set_ticks([i + 0.5 for i in range(0, size, every(cell))], range(0, size, every(cell)))
                axis.set_tick_params(length=0)
            axes.set(xlabel="head", ylabel="layer")
            write_title(axes, name)
            colour_bar(axes, drawn, own.get(name, values), least=1.3)
        return fit(figure)
