"""How one written word comes about: what can be looked at, the scores, their weights, the context, and the word.

The same drawing for regions of an image (Xu et al. 2015, arXiv:1502.03044) and for words (Bahdanau et al. 2015,
arXiv:1409.0473).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.explain.plots.arrays import checked
from saccade.explain.plots.canvas import GREY, PALE, Figure, Weights, colours, fit, our_style, page, write_title
from saccade.explain.plots.images import DOTS, PALEST, coloured, pixels_of, resized
from saccade.explain.plots.tokens import short_labels

STAGES = ("inputs", "scores", "weights", "context", "word")
SIDE, CELL, TALL = 1.75, 0.9, 0.26  # inches: of an image; width and height of the cell of a word
GAP, ABOVE, BELOW = 0.3, 0.1, 0.36
NUMBERS = 25  # the most cells that have their numbers written in them
FEATURES = 8  # of the context, of the state
BESIDE = 1.15  # inches from the context to the state


def build_up(
    scores: Weights, context: Weights, word: str, *, image: Weights | None = None, grid: tuple[int, int] = (0, 0),
    sources: Sequence[str] = (), written: Sequence[str] = (), stage: str = "word", title: str = "", size: int = 0,
    state: Weights | None = None, state_size: int = 0,
) -> Figure:  # fmt: skip
    """The steps of attention for one word, side by side.

    Args:
        scores: (k,); the weights are their softmax. A constant added to all changes nothing but the numbers.
        context: (c,), the weighted sum of the annotations; a few of its features are drawn.
        word: what is written then.
        image, grid: an image in the form of `over_image`, and its rows and columns of regions, k in all.
        sources: or the k words that are looked at.
        written: the words before it.
        stage: the last step that is drawn, one of `STAGES`.
        size: the features of the context, if only the first are given.
        state: (s,), the decoder's state, if the word is predicted from it too; drawn with the context.
        state_size: likewise.

    Raises:
        InvalidInput: neither an image with its grid nor words, the wrong shape, a number that is not finite, or no such
            stage.
    """
    found, columns = checked(scores, "k", "scores"), [("context c", checked(context, "c", "a context"), size)]
    if state is not None:
        columns.append(("state s", checked(state, "s", "a state"), state_size))
    if stage not in STAGES:
        raise InvalidInput(f"expected a stage of {', '.join(STAGES)}, got {stage!r}")
    shape = (len(sources), 1) if image is None else grid
    if shape[0] * shape[1] != len(found):
        raise InvalidInput(f"expected {len(found)} words or regions, one for each score, got {shape[0]} x {shape[1]}")
    weights = np.exp(found - found.max())
    weights /= weights.sum()
    last, texts = STAGES.index(stage), short_labels([*written, word])
    with our_style(title, *texts, *sources):
        figure, panel = page(), size_of(image, shape[0])
        left = 3 * (panel[0] + GAP)
        end = left + (len(columns) - 1) * BESIDE
        board = _board(figure, (end + 0.5, panel[1]), title)
        _first(board, panel, image, shape, sources)
        for number, name, values in (1, "scores e", found), (2, "weights α", weights):
            under = image if number == 2 else None
            _panel(board, number, panel, name, under, shape, values.reshape(shape) if number <= last else None)
        for place, (name, features, whole) in enumerate(columns):
            shown = features if last >= STAGES.index("context") else features[:0]
            _features(board, left + place * BESIDE, panel[1], name, shown, whole)
        board.text(end + 1.3, ABOVE, "word", color=GREY)
        if stage == "word":
            board.text(end + 1.3, -panel[1] / 2, texts[-1], va="center", weight="bold", fontsize=14)
        board.text(0, -panel[1] - BELOW, " ".join(texts if stage == "word" else [*texts[:-1], "..."]))
        return fit(figure)


def annotation_vectors(
    vectors: Weights, *, image: Weights | None = None, grid: tuple[int, int] = (0, 0), sources: Sequence[str] = (),
    title: str = "", size: int = 0,
) -> Figure:  # fmt: skip
    """What can be looked at, and its annotation vectors a_1, a_2, ... as the columns of a matrix.

    Args:
        vectors: (k, d), region after region, row by row.
        image, grid, sources: as for `build_up`.
        size: d, if only the first features are given.

    Raises:
        InvalidInput: the wrong shape, or a number that is not finite.
    """
    found = checked(vectors, "k d", "annotations")
    shape = (len(sources), 1) if image is None else grid
    with our_style(title, *sources):
        figure, panel = page(), size_of(image, shape[0])
        left, wide = panel[0] + GAP + 0.2, 2 * panel[0] + GAP + 0.8
        board = _board(figure, (left + wide, panel[1]), title)
        _first(board, panel, image, shape, sources)
        _show(board, found.T, left, (wide, panel[1]), cmap=colours())
        for place in np.unique(np.linspace(0, len(found) - 1, min(len(found), 8)).round().astype(int)):
            at = left + wide * (place + 0.5) / len(found)
            board.text(at, -panel[1] - 0.06, str(place + 1), ha="center", va="top", fontsize=7)
        board.text(left + wide / 2, -panel[1] - BELOW, "region" if image is not None else "word", ha="center")
        said = f"{found.shape[1]} of {size} features" if size > found.shape[1] else "feature"
        board.text(left - 0.06, -panel[1] / 2, said, rotation=90, ha="right", va="center")
        board.text(left, ABOVE, "annotation vectors: the columns a1, a2, ...", color=GREY)
        return fit(figure)


def size_of(image: Weights | None, rows: int) -> tuple[float, float]:
    """Width and height of a panel, in inches."""
    if image is None:
        return CELL, TALL * rows
    high, wide = pixels_of(image).shape[:2]
    return SIDE * min(1.0, wide / high), SIDE * min(1.0, high / wide)


def _board(figure: Figure, size: tuple[float, float], title: str) -> Any:
    """The one pair of axes, in inches; (0, 0) is the upper left corner of the first panel."""
    wide, high = size
    board = figure.add_axes((0, -high, wide, high))
    board.set(xlim=(0, wide), ylim=(-high, 0), xticks=[], yticks=[])
    board.axis("off")
    write_title(board, title, pad=24, narrowest=60)
    return board


def _panel(
    board: Any, number: int, size: tuple[float, float], name: str, image: Weights | None, shape: tuple[int, int],
    values: Any = None,
) -> None:  # fmt: skip
    """A panel with its name above it: an image with the lines of its regions, or cells of words; without values only
    the first one is drawn."""
    wide, high = size
    left = number * (wide + GAP)
    board.text(left, ABOVE, name, color=GREY)
    if number and values is None:
        return
    pixels = max(1, round(DOTS * high)), max(1, round(DOTS * wide))
    laid = np.ones((*pixels, 3))
    if image is not None:
        photo = coloured(image)
        laid *= np.moveaxis(resized(photo, pixels, "bilinear" if photo.shape[1] > pixels[0] else "nearest"), 0, -1)
    if values is not None:
        shares = (values - values.min()) / ((values.max() - values.min()) or 1.0)
        laid = (PALEST + (1 - PALEST) * laid) * colours()(resized(shares[None], pixels, "nearest")[0])[..., :3]
    _show(board, laid, left, size)
    rows, columns = shape
    pale = PALE if image is None else "white"
    board.hlines([-high * row / rows for row in range(1, rows)], left, left + wide, color=pale, linewidth=0.5)
    board.vlines([left + wide * column / columns for column in range(1, columns)], -high, 0, color=pale, linewidth=0.5)
    if values is not None and values.size <= NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            at = left + wide * (column + 0.5) / columns, -high * (row + 0.5) / rows
            ink = "white" if shares[row, column] > 0.55 else "black"
            board.text(*at, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=7)


def _show(board: Any, pixels: Any, left: float, size: tuple[float, float], **options: Any) -> None:
    """Pixels in a frame, below the upper edge."""
    box = (left, left + size[0], -size[1], 0)
    board.imshow(pixels, extent=box, aspect="auto", interpolation="nearest", **options)
    board.plot([box[0], box[1], box[1], box[0], box[0]], [0, 0, box[2], box[2], 0], "k", linewidth=0.6, clip_on=False)


def _first(
    board: Any, size: tuple[float, float], image: Weights | None, shape: tuple[int, int], sources: Sequence[str]
) -> None:
    """The panel of what can be looked at."""
    _panel(board, 0, size, "words" if image is None else "regions", image, shape)
    for row, text in enumerate(short_labels(sources) if image is None else ()):
        board.text(size[0] / 2, -size[1] * (row + 0.5) / shape[0], text, ha="center", va="center")


def _features(board: Any, left: float, high: float, name: str, features: Any, size: int) -> None:
    """The first features of a vector, from top to bottom, and how many it has."""
    board.text(left, ABOVE, name, color=GREY)
    if not len(features):
        return
    size, features = max(size, len(features)), features[:FEATURES]
    if size > len(features):
        said = f"{len(features)} of {size} features"
        board.text(left, -high - 0.06, said, va="top", fontsize=7, color=GREY)
    shares = 0.75 * np.abs(features) / (np.abs(features).max() or 1.0)
    _show(board, colours()(shares)[:, None], left, (0.5, high))
    for row, (value, share) in enumerate(zip(features, shares, strict=True)):
        ink, at = "white" if share > 0.55 else "black", -high * (row + 0.5) / len(features)
        text = f"{round(float(value), 1) + 0.0:.1f}"  # never -0.0
        board.text(left + 0.25, at, text, ha="center", va="center", color=ink, fontsize=7)
