"""Weights over time: the reads and writes of a memory, and attention on speech."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.core.printable import printable
from saccade.explain.plots.arrays import checked
from saccade.explain.plots.canvas import (
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
from saccade.explain.plots.charts import COLOURS
from saccade.explain.plots.tokens import short_labels

Timed = tuple[Weights, float]
Spoken = tuple[Weights, Sequence[str], float, str, str, str]


def memory_trace(traces: Mapping[str, Weights], values: str = "weight", title: str = "", rows: str = "slot") -> Figure:
    """The read or write weights of each head of a memory: a column for each step, a row for each slot, with one scale.

    White is 0; dark blue is 1, or the largest weight if it is above 1.

    Args:
        traces: the name of a head, such as "write" or "read head 0" -> its weights (t, n), with equal shapes for all
            heads.
        values: name of the weights, for the scale.
        rows: name of a row.

    Raises:
        InvalidInput: no heads, weights of different shapes, below 0 or not finite.
    """
    tables = {name: checked(weights, "t n", f"weights of {name}", 0.0) for name, weights in traces.items()}
    if len({table.shape for table in tables.values()}) != 1:
        got = ", ".join(f"{name} {table.shape}" for name, table in tables.items()) or "none"
        raise InvalidInput(f"expected at least one head, all with the same numbers of steps and slots; got {got}")
    steps, slots = next(iter(tables.values())).shape
    largest = _largest(*tables.values())
    with our_style(title, values, rows, *tables):
        wide = max(1.6, min(8.0, 0.14 * steps))
        high = max(0.4, min(0.14 * slots, max(1.0, 9.0 / len(tables)), 4.0))
        figure, extent = page(), (-0.5, steps - 0.5, slots - 0.5, -0.5)
        for number, (name, table) in enumerate(tables.items()):
            axes = figure.add_axes((0, -high - number * (high + 0.36), wide, high))
            drawn = _heat(axes, table.T, extent, (0.0, largest))
            axes.annotate(printable(name), (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points")
            axes.set(ylabel=printable(rows))
            count(axes.xaxis, steps, wide)
            count(axes.yaxis, slots, high)
            axes.tick_params(labelbottom=number == len(tables) - 1)
        axes.set(xlabel="time step")
        colour_bar(figure.axes[0], drawn, values)
        write_title(figure.axes[0], title, pad=22)
        return fit(figure)


def speech(
    weights: Weights,
    tokens: Sequence[str],
    step: float,
    *,
    waveform: Timed | None = None,
    features: Timed | None = None,
    tokens_label: str = "token",
    values: str = "attention weight",
    title: str = "",
) -> Figure:
    """The alignment of tokens with a recording, over an axis in seconds, with the recording below.

    White is 0; dark blue is 1, or the largest weight if it is above 1. A waveform is drawn as its outline.

    Args:
        weights: (q, k), a row for each token and a column for each frame.
        tokens: in the form of `labels`.
        step: seconds per frame.
        waveform: the samples (t,), and samples per second.
        features: log energies (frames, bands), such as log-mel, and seconds per frame.
        values: the name of the weights.

    Raises:
        InvalidInput: the wrong shape, no tokens, weights below 0 or not finite, or a time that is not above 0.
    """
    table = checked(weights, f"{len(tokens)} k", "weights", 0.0)
    samples = None if waveform is None else checked(waveform[0], "t", "samples")
    bands = None if features is None else checked(features[0], "frames bands", "features")
    times = [step, *(given[1] for given in (waveform, features) if given is not None)]
    if not all(0 < time < math.inf for time in times):
        raise InvalidInput(
            f"expected seconds per frame and samples per second above 0; got {', '.join(map(str, times))}"
        )
    with our_style(title, tokens_label, values, *tokens):
        figure, end, wide = page(), table.shape[1] * step, _wide(table)
        axes, top = _heard(figure, (0.0, wide, 13.2), table, step, (tokens, tokens_label, values))
        write_title(axes, title)
        if bands is not None:
            axes = figure.add_axes((0, top - 0.9, wide, 0.9))
            end, top = max(end, len(bands) * times[-1]), top - 1.1
            extent = (0.0, len(bands) * times[-1], -0.5, bands.shape[1] - 0.5)
            drawn = _heat(axes, bands.T[::-1], extent, (float(bands.min()), float(bands.max())))
            colour_bar(axes, drawn, "log energy", least=0.7)
            axes.set(ylabel="band")
        if samples is not None:
            axes = figure.add_axes((0, top - 0.7, wide, 0.7))
            end = max(end, len(samples) / times[1])
            _outline(axes, samples, times[1])
        _in_seconds(figure, end)
        return fit(figure)


def speeches(panels: Sequence[Spoken]) -> Figure:
    """Several alignments with one recording, stacked over one axis in seconds; each has its own scale, as in
    `speech`.

    Args:
        panels: each (weights (q, k), tokens, step, tokens_label, values, title), as for `speech`.

    Raises:
        InvalidInput: no panel, or as for `speech`.
    """
    if not panels:
        raise InvalidInput("expected at least one panel to draw")
    tables = [checked(weights, f"{len(tokens)} k", "weights", 0.0) for weights, tokens, *_ in panels]
    if not all(0 < step < math.inf for _, _, step, *_ in panels):
        raise InvalidInput(
            f"expected seconds per frame above 0; got {', '.join(str(step) for _, _, step, *_ in panels)}"
        )
    wide = max(map(_wide, tables))
    with our_style(*(text for _, tokens, _, *texts in panels for text in (*tokens, *texts))):
        figure, top = page(), 0.0
        for table, (_, tokens, step, label, values, title) in zip(tables, panels, strict=True):
            axes, top = _heard(figure, (top, wide, 2.2), table, step, (tokens, label, values))
            axes.annotate(printable(title), (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points")
            top -= 0.2
        _in_seconds(figure, max(table.shape[1] * panel[2] for table, panel in zip(tables, panels, strict=True)))
        return fit(figure)


def _wide(table: Any) -> float:
    """The width in inches of a map, by its number of frames."""
    return max(2.5, min(8.0, 0.05 * int(table.shape[1])))


def _heard(
    figure: Figure, place: tuple[float, float, float], table: Any, step: float, said: tuple[Sequence[str], str, str]
) -> tuple[Any, float]:
    """Draw a map over time, given tokens, their label and the name of the weights; returns its lower end.

    Its position is (top, width, largest height), in inches.
    """
    (top, wide, most), (tokens, label, values) = place, said
    high = len(tokens) * min(0.22, most / len(tokens))
    axes = figure.add_axes((0, top - high, wide, high))
    extent = (0.0, table.shape[1] * step, float(len(tokens)), 0.0)
    colour_bar(axes, _heat(axes, table, extent, (0.0, _largest(table))), values, least=1.3)
    nth = every(high / len(tokens), line=0.15)
    axes.yaxis.set_ticks([i + 0.5 for i in range(0, len(tokens), nth)], short_labels(tokens)[::nth])
    axes.tick_params(axis="y", length=0 if nth == 1 else 3)
    axes.set(ylabel=label)
    return axes, top - max(high, 1.3) - 0.2  # below the colour bar


def _in_seconds(figure: Figure, end: float) -> None:
    """Give all panels one axis in seconds, labelled below the last."""
    for each in figure.axes:
        each.spines[:].set_visible(True)
        each.set_xlim(0, end)
        each.tick_params(labelbottom=each is figure.axes[-1])
    figure.axes[-1].set(xlabel="time (seconds)")


def _largest(*tables: Any) -> float:
    """The end of the scale: 1, or the largest weight if the weights are not a distribution."""
    largest = max(float(table.max()) for table in tables)
    return 1.0 if largest <= 1.001 else largest  # rounding may exceed 1


def _heat(axes: Any, table: Any, extent: tuple[float, ...], limits: tuple[float, float]) -> Any:
    """Draw a heat map with edges (left, right, bottom, top) in the units of the axes."""
    axes.spines[:].set_visible(True)
    return axes.imshow(
        table, cmap=colours(), vmin=limits[0], vmax=limits[1], aspect="auto", interpolation="nearest", extent=extent
    )


def _outline(axes: Any, samples: Any, rate: float, most: int = 2000) -> None:
    """Draw a waveform as the band between the smallest and the largest sample of each interval."""
    size = math.ceil(len(samples) / most)
    padded = np.pad(samples, (0, -len(samples) % size), mode="edge").reshape(-1, size)
    times = np.minimum(np.arange(len(padded) + 1) * size, len(samples)) / rate
    low, high = ([*found, found[-1]] for found in (padded.min(1), padded.max(1)))
    axes.fill_between(times, low, high, step="post", color=COLOURS[0], lw=0.5)
    loudest = float(abs(samples).max()) or 1.0
    axes.set(ylabel="amplitude", ylim=(-1.05 * loudest, 1.05 * loudest))
