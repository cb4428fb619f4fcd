"""The head view: two columns of tokens, and arcs from queries to keys. Vig 2019, arXiv:1906.05714."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput, require
from saccade.explain.plots.arrays import checked, read
from saccade.explain.plots.canvas import GREY, Figure, Weights, every, fit, our_style, page, write_title
from saccade.explain.plots.charts import COLOURS
from saccade.explain.plots.tokens import SPECIAL, short_labels

DASHES = ("solid", (0, (4, 1.2)), (0, (1, 1)))  # with the colours, 18 heads can be distinguished
MOST = 2000  # arcs; more would be a grey area, and slow in an SVG
GREYS = ("#ffffff", "#333333")


def arcs(
    weights: Weights,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    heads: Sequence[int] | None = None,
    query: int | None = None,
    rows_label: str = "query",
    columns_label: str = "key",
    title: str = "",
) -> Figure:
    """The head view: queries on the left, keys on the right, an arc for each weight, a colour for each head.

    The opacity of an arc is its weight relative to the largest. Arcs below a hundredth of the largest are left out. If
    more than 2,000 remain, only the strongest of each query and head are drawn, and a note below says how many. In long
    sentences every n-th token is labelled, with a tick.

    Args:
        weights: (h, q, k), or (q, k) for one head.
        rows, columns: tokens of queries and of keys, in the form of `labels`; cut after 40 characters.
        heads: the numbers of the heads to draw, at most 18; None: all.
        query: position of the only query to draw; None: all.

    Raises:
        InvalidInput: another shape, no tokens, weights below 0 or not finite, no such head or query, too many heads.
    """
    found = read(weights, "weights (h, q, k)")
    found = checked(found[None] if found.ndim == 2 else found, f"h {len(rows)} {len(columns)}", "weights", 0.0)
    chosen = list(range(len(found)) if heads is None else heads)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(len(found))):
        raise InvalidInput(f"expected heads from 0 to {len(found) - 1}, each once; got {chosen}")
    if len(chosen) > len(COLOURS) * len(DASHES):
        raise InvalidInput(f"{len(chosen)} heads cannot be distinguished; select at most {len(COLOURS) * len(DASHES)}")
    if query is not None and not 0 <= query < len(rows):
        raise InvalidInput(f"expected a query from 0 to {len(rows) - 1}; got {query}")
    said = [f"head {head}" for head in chosen]
    with our_style(title, rows_label, columns_label, *rows, *columns):
        cell = min(0.22, 13.2 / max(len(rows), len(columns)))
        high = cell * max(len(rows), len(columns))
        wide = min(max(2.2, 0.4 * high), 4.5)
        axes = page().add_axes((0, -high, wide, high))
        axes.set(xlim=(0, 1), ylim=(high / cell, 0), xticks=[], ylabel=rows_label)
        axes.spines[:].set_visible(False)
        right = axes.twinx()
        right.set(ylim=axes.get_ylim(), ylabel=columns_label)
        right.spines[:].set_visible(False)
        _name(axes, rows, every(cell), query)
        _name(right, columns, every(cell))
        shown = _visible(found[chosen], query)
        kept = _strongest(shown)
        _draw(axes, shown, kept, cell)
        _legend(axes, said, title)
        note = f"the {kept} strongest of each query and head" if kept < shown.shape[2] else ""
        _opacity(axes, float(shown.max()), wide, high, note)
        return fit(axes.figure)


def _name(axes: Any, tokens: Sequence[str], nth: int, chosen: int | None = None) -> None:
    """Write every n-th token at its row, and always the selected one, which alone is black."""
    near = range(chosen - nth + 1, chosen + nth) if chosen is not None else ()
    places = [i for i in range(0, len(tokens), nth) if i not in near or i == chosen]
    places += [chosen] if chosen is not None and chosen not in places else []
    texts = short_labels(tokens)
    axes.yaxis.set_ticks([i + 0.5 for i in places], [texts[i] for i in places])
    axes.tick_params(length=0 if nth == 1 else 3)
    for label, i in zip(axes.get_yticklabels(), places, strict=True):
        if SPECIAL.fullmatch(tokens[i]):
            label.set(color=GREY, style="italic")
        if chosen is not None:
            label.set(color="black" if i == chosen else GREY, weight="bold" if i == chosen else "normal")


def _visible(weights: Any, query: int | None) -> Any:
    """The weights (h, q, k), with 0 for those of other queries and those below a hundredth of the largest."""
    shown = weights if query is None else np.where(np.arange(weights.shape[1])[:, None] == query, weights, 0.0)
    return np.where(shown >= max(shown.max() / 100, np.finfo(float).tiny), shown, 0.0)


def _strongest(shown: Any) -> int:
    """The number of keys drawn for each query and head, which limits the number of arcs to `MOST`."""
    if np.count_nonzero(shown) <= MOST:
        return int(shown.shape[2])
    return max(1, MOST // int((shown.max(2) > 0).sum()))


def _draw(axes: Any, shown: Any, kept: int, cell: float) -> None:
    """Draw an arc for each of the strongest weights (h, q, k) of each query and head, the weakest first."""
    order = np.argsort(-shown, 2, kind="stable")[:, :, :kept]
    drawn_weights = np.zeros_like(shown)
    np.put_along_axis(drawn_weights, order, np.take_along_axis(shown, order, 2), 2)
    shown, largest = drawn_weights, float(shown.max())
    strongest = np.argsort(shown, axis=None, kind="stable")
    strongest = strongest[shown.ravel()[strongest] > 0]
    path: Any = require("matplotlib.path", "app").Path
    rgba = require("matplotlib.colors", "app").to_rgba
    # arcs of several heads are 1.4 points apart, and all within two thirds of a row
    apart = min(1.4 / 72 / cell, 0.66 / len(shown))
    paths, edges, dashes = [], [], []
    for head, i, j in zip(*np.unravel_index(strongest, shown.shape), strict=True):
        aside = 0.5 + (head - (len(shown) - 1) / 2) * apart
        ends = [(0, i + aside), (0.4, i + aside), (0.6, j + aside), (1, j + aside)]
        paths.append(path(ends, [path.MOVETO, path.CURVE4, path.CURVE4, path.CURVE4]))
        edges.append(rgba(COLOURS[head % len(COLOURS)], shown[head, i, j] / largest))
        dashes.append(DASHES[head // len(COLOURS)])
    collection = require("matplotlib.collections", "app").PathCollection
    thick = min(1.3, max(0.5, 22 * cell))  # points
    drawn = collection(paths, facecolors="none", edgecolors=edges, linestyles=dashes or "solid", linewidths=thick)
    drawn.set_rasterized(len(paths) > 1000)
    axes.add_collection(drawn, autolim=False)


def _legend(axes: Any, said: Sequence[str], title: str) -> None:
    line: Any = require("matplotlib.lines", "app").Line2D
    dashes = [DASHES[i // len(COLOURS)] for i in range(len(said))]
    handles = [
        line([], [], color=COLOURS[i % len(COLOURS)], ls=dash, lw=1.8, label=text)
        for i, (text, dash) in enumerate(zip(said, dashes, strict=True))
    ]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=min(3, len(said)), borderaxespad=0.3,
        borderpad=0, handlelength=1.6, columnspacing=1.0,
    )  # fmt: skip
    write_title(axes, title, pad=10 + 14 * math.ceil(len(said) / 3))


def _opacity(axes: Any, largest: float, wide: float, high: float, note: str) -> None:
    """The legend of the opacity, below, with a note on arcs that are not drawn."""
    colours = require("matplotlib.colors", "app")
    greys = colours.LinearSegmentedColormap.from_list("opacity", GREYS)
    mappable = require("matplotlib.cm", "app").ScalarMappable(colours.Normalize(0, largest or 1), greys)
    bar = axes.inset_axes((0, -0.2 / high, 1, 0.1 / high))
    said = "attention weight (opacity)" + (f"\n{note}" if note else "")
    drawn = axes.figure.colorbar(mappable, cax=bar, orientation="horizontal", label=said)
    drawn.locator = require("matplotlib.ticker", "app").MaxNLocator(4)
    drawn.update_ticks()
