"""Heat maps over an image, side by side, with the most probable classes below."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput, require
from saccade.explain.plots.arrays import checked
from saccade.explain.plots.canvas import GREY, Figure, Weights, colour_bar, colours, fit, our_style, page, write_title
from saccade.explain.plots.images import DOTS, PALEST, grey_of, name_above, pixels_of, resized
from saccade.explain.plots.tokens import NARROWEST, broken, short_labels

SIDE, GAP, LINE = 1.9, 0.12, 0.2  # inches: the longer side of a panel, between panels, and of a class
SCALE = "share of each map's largest value"


def overlays(
    image: Weights,
    maps: Sequence[Weights],
    labels: Sequence[str],
    classes: Sequence[str] = (),
    probabilities: Sequence[float] = (),
    title: str = "",
    across: int = 0,
    peaks: Sequence[float] = (),
) -> Figure:
    """An image, and beside it each heat map over the image in grey; below, classes and their probabilities as bars.

    White is 0 and dark blue the largest value of a map: maps of different methods have different units.

    Args:
        image: (y, x), or in colour (3, y, x) or (y, x, 3); from 0 to 1, or to 255 where any value is above 1.
        maps: (rows, columns) each, over the whole image.
        labels: the name of each map.
        across: the most maps in a row; 0: five.
        peaks: the largest value of each map, to be written above it.

    Raises:
        InvalidInput: the wrong shape, no maps, a number that is not finite, below 0, or no probability.
    """
    photo, found = pixels_of(image), checked_maps(maps, labels)
    check_probabilities(classes, probabilities)
    inch = SIDE / max(photo.shape[:2])
    high, wide = (max(0.3, inch * side) for side in photo.shape[:2])
    size = max(1, round(DOTS * high)), max(1, round(DOTS * wide))
    shades = resized(grey_of(photo)[None], size, "bilinear" if max(photo.shape[:2]) > max(size) else "nearest")[0]
    ends = [f"\nto {peak:.3g}" for peak in peaks] or [""] * len(found)
    texts = [wrapped(text, wide) + end for text, end in zip(short_labels(labels), ends, strict=True)]
    above = 0.12 + 0.16 * (max(text.count("\n") for text in texts) + 1)
    across = min(len(found), across or 5)
    with our_style(title, *labels, *classes):
        figure = page()

        def panel(row: int, column: int) -> Any:
            axes = figure.add_axes((column * (wide + GAP), -high - row * (high + above), wide, high))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(True)
            return axes

        axes = panel(0, 0)
        axes.imshow(photo, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="antialiased")
        name_above(axes, "image")
        for number, (text, one) in enumerate(zip(texts, found, strict=True)):
            last = panel(number // across, 1 + number % across)
            largest = float(one.max()) or 1.0
            # cubic interpolation may go below 0 and above the largest
            spread = np.clip(resized(one[None] / largest, size, "bicubic")[0], 0, float(one.max()) / largest)
            last.imshow((PALEST + (1 - PALEST) * shades[..., None]) * colours()(spread)[..., :3],
                        aspect="auto", interpolation="nearest")  # fmt: skip
            name_above(last, text)
            if number < across:
                rightmost = last
        mappable = require("matplotlib.cm", "app").ScalarMappable(norm=None, cmap=colours())
        mappable.set_clim(0, 1)
        colour_bar(rightmost, mappable, SCALE.replace(" largest", "\nlargest"))
        write_title(axes, title, pad=8 + round(72 * (above - 0.09)), narrowest=max(30, int(13 * (across + 1) * wide)))
        if classes:
            rows = (len(found) - 1) // across + 1
            bars(
                figure, classes, probabilities, -rows * (high + above) + above - 0.2, (across + 1) * (wide + GAP) - GAP
            )
        return fit(figure)


def bars(figure: Figure, classes: Sequence[str], probabilities: Sequence[float], top: float, width: float) -> None:
    """Classes with their probabilities, one below the other, their upper edge at this height, in inches."""
    tall = LINE * len(classes)
    axes = figure.add_axes((0, top - tall, width, tall))
    axes.set(xlim=(0, width), ylim=(len(classes) - 0.5, -0.5), xticks=[], yticks=[])
    axes.axis("off")
    left = 0.52
    room = max(0.5, 0.35 * width)
    for row, (label, share) in enumerate(zip(short_labels(classes), probabilities, strict=True)):
        axes.text(left - 0.06, row, percent(share), ha="right", va="center")
        axes.barh(row, room, left=left, height=0.6, color="#eeeeee")
        axes.barh(row, room * share, left=left, height=0.6, color=GREY)
        axes.text(left + room + 0.08, row, label, ha="left", va="center")


def wrapped(text: str, wide: float) -> str:
    """A name in lines that fit above an image of this width, broken between words if possible."""
    lines = textwrap.wrap(text, int(11 * max(wide, NARROWEST)))
    return "\n".join(broken(line, wide) for line in lines)


def percent(share: float) -> str:
    """A probability with three digits that count: 83.1 %, 4.20 %, 0.03 %."""
    return f"{100 * share:.{1 if share >= 0.1 else 2}f} %"


def checked_maps(maps: Sequence[Weights], labels: Sequence[str]) -> list[Any]:
    """The maps as arrays, one for each label."""
    if not len(maps) or len(maps) != len(labels):
        raise InvalidInput(
            f"expected at least one map, and a label for each of them; got {len(maps)} and {len(labels)}"
        )
    return [checked(one, "rows columns", "a map", 0.0) for one in maps]


def check_probabilities(classes: Sequence[str], probabilities: Sequence[float]) -> None:
    if len(classes) != len(probabilities) or not all(-1e-6 <= share <= 1 + 1e-6 for share in probabilities):
        raise InvalidInput(f"expected a probability from 0 to 1 for each of {len(classes)} classes")
