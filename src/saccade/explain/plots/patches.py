"""Grids of Gaussian filters on an image, each beside the patch that it reads; figure 3 of Gregor et al. 2015."""

from collections.abc import Sequence
from typing import Any

from saccade.core.errors import InvalidInput, require
from saccade.explain.plots.arrays import checked, named
from saccade.explain.plots.canvas import Figure, Weights, fit, our_style, page, write_title
from saccade.explain.plots.charts import COLOURS
from saccade.explain.plots.images import brightness

SIDE, GAP = 1.9, 0.35  # inches: the longer side of an image, and the distance between rows


def patches(
    image: Weights, centres: Weights, deviations: Weights, patches: Weights, names: Sequence[str] = (), title: str = ""
) -> Figure:
    """A row for each of several grids: the image with the filters of the grid, circles with a radius of one standard
    deviation, and the patch that they read.

    Args:
        image: (y, x), or in colour (3, y, x) or (y, x, 3); from 0 to 1, or to 255 where any value is above 1.
        centres: (grids, filters, 2), x to the right and y down, in pixels; (0, 0) is the corner of the first pixel.
        deviations: (grids,) standard deviations, in pixels.
        patches: (grids, rows, columns), brightness from 0 to 1.
        names: a name for each grid.

    Raises:
        InvalidInput: the wrong shape, a number that is not finite, a deviation below 0, or brightness beyond 0 to 1.
    """
    grey = brightness(image)
    found = checked(patches, "grids rows columns", "patches", 0.0)
    placed = checked(centres, f"{len(found)} filters 2", "centres")
    radii = checked(deviations, str(len(found)), "deviations", 0.0)
    texts = named(names, len(found), "grids") if names else [""] * len(found)
    if found.max() > 1.001:
        raise InvalidInput(f"expected patches with values from 0 to 1, got {found.max():.3g}")
    high, wide = grey.shape
    inch = SIDE / max(high, wide)
    with our_style(title, *texts):
        figure = page()
        for row, text in enumerate(texts):
            top = -row * (high * inch + GAP) - high * inch
            left = figure.add_axes((0, top, wide * inch, high * inch))
            _show(left, grey, (0, wide, high, 0))
            _circles(left, placed[row], radii[row])
            left.set(xlim=(0, wide), ylim=(high, 0))
            across = found.shape[2] / found.shape[1] * high * inch
            right = figure.add_axes((wide * inch + 0.3, top, across, high * inch))
            _show(right, found[row], None)
            left.annotate(text, (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", va="bottom")
        write_title(figure.axes[0], title, pad=20 if any(texts) else 8)
        return fit(figure)


def _show(axes: Any, pixels: Any, extent: Any) -> None:
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest", extent=extent)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)


def _circles(axes: Any, centres: Any, radius: float) -> None:
    """Filters as circles, and their centres as dots; those beyond the image are cut off."""
    collections: Any = require("matplotlib.collections", "app")
    sizes = [2 * radius] * len(centres)
    circles = collections.EllipseCollection(
        sizes, sizes, [0] * len(sizes), units="xy", offsets=centres, offset_transform=axes.transData,
        facecolors="none", edgecolors=COLOURS[1], linewidths=0.6, alpha=0.6, zorder=2,
    )  # fmt: skip
    axes.add_collection(circles)
    axes.plot(*centres.T, ".", color=COLOURS[1], ms=2.5, zorder=3)
