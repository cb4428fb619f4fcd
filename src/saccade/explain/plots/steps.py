"""Self-attention one step at a time, with the numbers in the cells; and several figures as one animation."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput, require
from saccade.core.files import write_atomically
from saccade.explain.plots.arrays import checked
from saccade.explain.plots.canvas import GREY, PALE, Figure, Weights, colours, fit, our_style, page, write_title
from saccade.explain.plots.tokens import short_labels

CELL, TALL, GAP = 0.42, 0.24, 0.16  # inches: a cell's width and height, and the distance between rows
DOTS = 110  # an inch of an animation
COLOURS = 128  # of an animation: fewer, and photos look painted
MOST = 6  # features that a row of cells has room for


def attention_steps(
    queries: Weights, keys: Weights, values: Weights, words: Sequence[str], *, inputs: Weights | None = None,
    query: int = 0, title: str = "",
) -> Figure:  # fmt: skip
    """One head from queries, keys and values to the result for one word: scores, division by the root of their size,
    softmax, weighted values, and their sum; a column for each word and a row for each step.

    Args:
        queries, keys: (words, d), up to six features.
        values: (words, c), up to six features.
        words: in the form of `labels`.
        inputs: (words, features) that they were computed from, drawn above.
        query: the word whose result is computed.

    Raises:
        InvalidInput: different shapes, more than six features, a number that is not finite, or no such word.
    """
    size = len(words)
    if not size or not 0 <= query < size:
        raise InvalidInput(f"expected one of {size} words, got the query {query}")
    named = {"query": queries, "key": keys, "value": values}
    arrays = {name: checked(found, f"{size} d", name) for name, found in named.items()}
    shown = {} if inputs is None else {"input": checked(inputs, f"{size} d", "inputs")}
    shown |= arrays
    if arrays["query"].shape != arrays["key"].shape or any(found.shape[1] > MOST for found in shown.values()):
        came = ", ".join(f"{name} {found.shape}" for name, found in shown.items())
        raise InvalidInput(f"expected queries and keys of one size, and at most {MOST} features; got {came}")
    rows = list(shown.items())
    scores = arrays["key"] @ arrays["query"][query]
    scaled = scores / arrays["query"].shape[1] ** 0.5
    weights = np.exp(scaled - scaled.max())
    weights /= weights.sum()
    rows += [
        ("score: query · key", scores[:, None]), ("divided by √d", scaled[:, None]), ("softmax", weights[:, None]),
        ("weight × value", weights[:, None] * arrays["value"]),
        ("sum: the result", (weights @ arrays["value"])[None]),
    ]  # fmt: skip
    return _drawn(rows, short_labels(words), query, title)


def _drawn(rows: Sequence[tuple[str, Any]], words: Sequence[str], query: int, title: str) -> Figure:
    apart = max(found.shape[1] for _, found in rows) * CELL + 0.3
    high = len(rows) * (TALL + GAP)
    with our_style(title, *words):
        axes = page().add_axes((0, -high, apart * len(words), high))
        axes.set(xlim=(0, apart * len(words)), ylim=(-high, 0))
        axes.set_axis_off()
        largest = max(float(np.abs(found).max()) for _, found in rows) or 1.0
        for place, word in enumerate(words):
            axes.text(place * apart + apart / 2, 0.1, word, ha="center", va="bottom", weight="bold")
        for number, (name, found) in enumerate(rows):
            down = -(number + 1) * (TALL + GAP) + GAP / 2
            axes.text(-0.15, down + TALL / 2, name, ha="right", va="center")
            for place, cells in enumerate(found):
                at = query if len(found) == 1 else place
                faint = name == "query" and place != query
                _cells(axes, cells, at * apart + (apart - len(cells) * CELL) / 2, down, largest, faint)
        write_title(axes, title, pad=26)
        return fit(axes.figure)


def _cells(axes: Any, cells: Any, left: float, down: float, largest: float, faint: bool) -> None:
    """Cells side by side, tinted by their size, with their numbers."""
    patches: Any = require("matplotlib.patches", "app")
    for place, number in enumerate(cells):
        share = 0.0 if faint else 0.75 * abs(float(number)) / largest
        place_of = (left + place * CELL, down)
        axes.add_patch(patches.Rectangle(place_of, CELL, TALL, fc=colours()(share), ec=PALE if faint else GREY, lw=0.6))
        ink = GREY if faint else "white" if share > 0.55 else "black"
        text = f"{number:.2f}" if abs(number) < 10 else f"{number:.0f}"
        axes.text(place_of[0] + CELL / 2, down + TALL / 2, text, ha="center", va="center", color=ink, fontsize=7.5)


def animate(figures: Sequence[Figure], path: str | os.PathLike[str], description: str, seconds: float = 1.0) -> Path:
    """Write PATH.gif, which shows the figures in turn, each for some seconds, and starts again; returns the path.

    Figures of different sizes share a canvas of white.

    Args:
        description: kept in the file as its comment, for readers who cannot see it.

    Raises:
        InvalidInput: no figures, no description, or a time that is not above 0.
        OSError: naming the path.
    """
    if not figures or not description.strip() or not seconds > 0:
        raise InvalidInput(f"expected figures, a description and seconds above 0; got {len(figures)}, {seconds}")
    agg: Any = require("matplotlib.backends.backend_agg", "app")
    shots = []
    for figure in figures:
        with our_style():
            figure.set_dpi(DOTS)
            canvas = agg.FigureCanvasAgg(figure)
            canvas.draw()
            shots.append(np.asarray(canvas.buffer_rgba()).copy())
    high, wide = (max(shot.shape[side] for shot in shots) for side in (0, 1))
    target = Path(path).with_name(f"{Path(path).name}.gif")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, _commented(_gif(shots, high, wide, seconds), description))
    return target


def _gif(shots: Sequence[Any], high: int, wide: int, seconds: float) -> bytes:
    """The shots in turn, each at the top left of a white frame, with one palette for all: fewer bytes than with one
    for each, and parts that stay the same do not flicker."""
    pillow: Any = require("PIL.Image", "app")
    frames = np.full((len(shots), high, wide, 3), 255, np.uint8)
    for frame, shot in zip(frames, shots, strict=True):
        frame[: shot.shape[0], : shot.shape[1]] = shot[..., :3]
    few = pillow.fromarray(frames.reshape(-1, wide, 3)).quantize(COLOURS, dither=pillow.Dither.NONE)
    palette = np.array(few.getpalette()).reshape(-1, 3)
    palette[palette.sum(1).argmax()] = 255  # the background's own white, not a mean of near whites
    images = [pillow.fromarray(places) for places in np.array(few).reshape(len(shots), high, wide)]
    for image in images:
        image.putpalette(palette.ravel().tolist())
    with io.BytesIO() as file:
        options = {"save_all": True, "append_images": images[1:], "duration": round(1000 * seconds), "loop": 0}
        images[0].save(file, "GIF", **options)
        return file.getvalue()


def _commented(gif: bytes, description: str) -> bytes:
    """A GIF with a comment before its last byte, in blocks of at most 255 bytes."""
    said = description.encode("utf-8")
    blocks = b"".join(bytes([len(said[i : i + 255])]) + said[i : i + 255] for i in range(0, len(said), 255))
    return gif[:-1] + b"\x21\xfe" + blocks + b"\x00" + gif[-1:]
