"""Curves, scores, bars and pen strokes."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from saccade.core.errors import InvalidInput
from saccade.explain.plots.canvas import GREY, WHITE_TO_BLUE, Figure, Weights, blank, finish, our_style

Rows = Sequence[Mapping[str, Any]]
# Okabe and Ito's colours without black and yellow; with the markers, 30 lines can be distinguished
COLOURS, MARKERS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"), "osD^v"


def pen(points: Weights, unit: str = "") -> Figure:
    """The strokes of a pen: rows of x, y (upwards) and 1 where a stroke ends; nothing is drawn between strokes.

    Both axes have the same scale; a stroke of a single point is a dot. `unit` is the unit of x and y.

    Raises:
        InvalidInput: no points, rows of the wrong length, or a number that is not finite.
    """
    rows = [[float(x) for x in row] for row in (points.tolist() if hasattr(points, "tolist") else points)]
    if not rows or any(len(row) != 3 or not all(map(math.isfinite, row)) for row in rows):
        raise InvalidInput("expected at least one point: rows of x, y and end, all finite")
    wide, high = (max(row[k] for row in rows) - min(row[k] for row in rows) + 0.5 for k in (0, 1))
    size = min(0.3, 16 / wide, 16 / high)  # inches per unit, so that no side exceeds 16
    with our_style(unit):
        axes = blank(size * wide, size * high)
        start = 0
        for end in [i for i, row in enumerate(rows) if row[2] > 0.5 or i == len(rows) - 1]:
            x, y, _ = zip(*rows[start : end + 1], strict=True)
            # a line of length 0 has no cap in an SVG
            marker = {"marker": "o", "ms": 2.2} if start == end else {}
            axes.plot(x, y, "-", color=WHITE_TO_BLUE[-1][1], lw=1.4, solid_capstyle="round", **marker)
            start = end + 1
        axes.set(aspect="equal", xlabel=f"x ({unit})" if unit else "x", ylabel=f"y ({unit})" if unit else "y")
        axes.margins(0.25 / wide, 0.25 / high)
        return finish(axes, "")


def training_curves(rows: Rows, title: str = "") -> Figure:
    """Training and validation loss, in nats per token, against the step.

    `rows` are lines of a run's metrics: {"step": ..., "loss": ...} or {"step": ..., "validation_loss": ...}.

    Raises:
        InvalidInput: no line contains a step and a loss.
    """
    with our_style(title):
        axes = blank(5.0, 2.9)
        for text, key, colour, width in (("training", "loss", 0, 1.0), ("validation", "validation_loss", 1, 1.5)):
            points = sorted((row["step"], row[key]) for row in rows if "step" in row and row.get(key) is not None)
            finite = [(loss, step) for step, loss in points if math.isfinite(loss)]
            if finite and key == "validation_loss":
                text = "validation (lowest {:.3g} at step {:,})".format(*min(finite))
            if points:
                style = "o-" if len(points) <= (40 if key == "validation_loss" else 1) else "-"
                axes.plot(*zip(*points, strict=True), style, ms=3.5, lw=width, color=COLOURS[colour], label=text)
        if not axes.lines:
            raise InvalidInput(
                f"expected lines with step and loss or validation_loss, but found none among {len(rows)}"
            )
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set(xlabel="training step", ylabel="loss (nats per token)")
        return finish(axes, title, legend=True)


def score_by_length(
    rows: Rows, metric: str = "BLEU", title: str = "", other: Mapping[str, Rows] | None = None, name: str = "this run"
) -> Figure:
    """A score against the length of the source, with the number of sentences written under each point.

    `rows` are {"words": "3-4", "sentences": 120, "bleu": 48.1}, where the key of the score is the metric in lower case;
    `other` are the rows of other systems by name; `name` is that of `rows` among them.

    Raises:
        InvalidInput: no rows, a row without these keys, or two systems with the same name.
    """
    key, systems = metric.lower(), {name: rows, **(other or {})}
    for system, found in systems.items():
        if not found or name in (other or {}) or not all({"words", "sentences", key} <= set(row) for row in found):
            raise InvalidInput(f"{system}: expected a unique name, and at least one row with words, sentences, {key}")
    words = sorted({row["words"] for found in systems.values() for row in found}, key=lambda x: int(x.split("-")[0]))
    with our_style(title, metric, *systems):
        width = max(3.0, 0.62 * len(words))
        axes = blank(width, 2.9)
        counts = {}
        for i, (system, found) in enumerate(systems.items()):
            at = {row["words"]: (row[key], f"{row['sentences']:,}") for row in found}
            scores, numbers = zip(*(at.get(text, (math.nan, "–")) for text in words), strict=True)
            counts[f"{system}: sentences"] = COLOURS[i % 6], numbers
            axes.plot(scores, f"{MARKERS[i % 5]}-", ms=5, color=COLOURS[i % 6], clip_on=False, label=system)
        if len({numbers for _, numbers in counts.values()}) == 1:  # all were scored on the same sentences
            counts = {"sentences": (GREY, numbers)}
        count_below(axes, counts, range(len(words)))
        axes.set(xlabel="source length (words)", ylabel=metric, xlim=(-0.5, len(words) - 0.5), ylim=(0, None))
        axes.set_xticks(range(len(words)), [re.sub("-$", "+", text).replace("-", "–") for text in words])
        return finish(axes, title, legend=len(systems) > 1)


def count_below(axes: Any, counts: Mapping[str, tuple[str, Sequence[str]]], at: Sequence[float]) -> None:
    """Write numbers in lines below an axis, as under survival curves, so that they never overlap the plot.

    Args:
        counts: the name of each line of numbers -> its colour, and a text for each position.
        at: the positions on the axis.
    """
    for i, (head, (colour, numbers)) in enumerate(counts.items()):
        down, style = -19 - 12 * i, {"textcoords": "offset points", "va": "top", "color": colour}
        axes.annotate(head, (0, 0), (-9, down), xycoords="axes fraction", ha="right", **style)
        for x, number in zip(at, numbers, strict=True):
            axes.annotate(number, (x, 0), (0, down), xycoords=("data", "axes fraction"), ha="center", **style)
    axes.xaxis.labelpad = 6 + 12 * len(counts)


def curves(series: Mapping[str, Sequence[tuple[str, float]]], across: str, up: str, title: str = "") -> Figure:
    """The scores of several systems over the values of one variable: a line through the points (value, score) of each.

    The values are equally spaced, in the order of the first series.

    Raises:
        InvalidInput: no series, or one without points or with a value that the first does not have.
    """
    values = [value for value, _ in next(iter(series.values()), ())]
    if not values or not all(points and {value for value, _ in points} <= set(values) for points in series.values()):
        raise InvalidInput("expected at least one series, each with points at the values of the first")
    with our_style(title, across, up, *series):
        axes = blank(4.2, 2.9)
        for i, (name, points) in enumerate(series.items()):
            at = [values.index(value) for value, _ in points]
            scores = [score for _, score in points]
            axes.plot(at, scores, f"{MARKERS[i % 5]}-", ms=5, color=COLOURS[i % 6], clip_on=False, label=name)
        axes.set(xlabel=across, ylabel=up, xlim=(-0.3, len(values) - 0.7), ylim=(0, None))
        every = math.ceil(len(values) / 12)
        axes.set_xticks(range(0, len(values), every), values[::every])
        return finish(axes, title, legend=len(series) > 1, beside=1)


def histogram(rows: Rows, across: str, up: str, title: str = "") -> Figure:
    """A histogram: a bar for each row, {across: its start, up: its count}, all as wide as the first.

    Raises:
        InvalidInput: no rows, or a row without these keys.
    """
    if not rows or not all({across, up} <= set(row) for row in rows):
        raise InvalidInput(f"expected at least one row, each with {across} and {up}")
    starts = [row[across] for row in rows]
    width = starts[1] - starts[0] if len(rows) > 1 else 1.0
    with our_style(title, across, up):
        axes = blank(4.2, 2.6)
        axes.bar(starts, [row[up] for row in rows], width, align="edge", color=COLOURS[0], edgecolor="white", lw=0.4)
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel=across, ylabel=up)
        return finish(axes, title)
