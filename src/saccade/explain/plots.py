"""Pictures as matplotlib figures, without pyplot: nothing global, no display. matplotlib is imported at the first."""

import io
import math
import os
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from saccade.core.errors import InvalidInput, require
from saccade.core.files import write_atomically

Weights = Any  # (rows, columns): a torch tensor, a numpy array, or lists
Figure = Any  # matplotlib.figure.Figure: matplotlib may be absent
Rows = Sequence[Mapping[str, Any]]
Panel = tuple[Weights, Sequence[str], Sequence[str], str, str, str]  # and the labels of rows and columns, and a title
Side = tuple[Sequence[str], list[str], float, int]  # tokens, texts, inches a cell, and that each so manieth is named
SPACE, SPECIAL = "▁", re.compile(r"<[^<>\s]+>")
GREY, PALE = "#666666", "#dddddd"
# Okabe and Ito's colours without black and yellow; with the markers, 30 lines can be told apart
COLOURS, MARKERS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"), "osD^v"
# placed by lightness (L* from 100 to 20), so that equal steps of weight are equal steps of grey in print
WHITE_TO_BLUE = ((0.0, "#ffffff"), (0.175, "#c6dbef"), (0.41, "#6baed6"), (0.675, "#2171b5"), (1.0, "#08306b"))
STYLE: dict[str, Any] = {"font.size": 9, "axes.titlesize": 10, "axes.linewidth": 0.6, "legend.frameon": False}
STYLE |= {"axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False}  # a token may hold dollars
STYLE |= {"savefig.dpi": 200, "svg.fonttype": "none", "svg.hashsalt": "saccade"}


def labels(tokens: Sequence[str]) -> list[str]:
    """What a reader sees for each token of a sentence.

    "▁want" reads "want". In a sentence with such marks a letter or digit without one goes on in the same word: "ed"
    reads "·ed"; punctuation stays as it is. "<s>" and "</s>" read "start" and "end", a control character "�".
    """
    marked, seen = any(token.startswith(SPACE) for token in tokens), []
    for before, token in zip(["<s>", *tokens], tokens, strict=False):
        goes_on = marked and token[:1].isalnum() and not SPECIAL.fullmatch(before)
        text = {"<s>": "start", "</s>": "end", SPACE: SPACE}.get(token, _printable(token.removeprefix(SPACE)))
        seen.append(f"·{text}" if goes_on else text)
    return seen


def matrix(weights: Weights, rows: Sequence[str], columns: Sequence[str]) -> list[list[float]]:
    """The weights as lists, one row a row label, one column a column label.

    Raises:
        InvalidInput: another shape, no labels, or a weight that is below 0 or not finite.
    """
    try:
        found = [[float(x) for x in row] for row in (weights.tolist() if hasattr(weights, "tolist") else weights)]
    except TypeError as error:
        raise InvalidInput("expected a matrix of attention weights (rows, columns)") from error
    widths = sorted({len(row) for row in found})
    if not rows or not columns or len(found) != len(rows) or widths != [len(columns)]:
        came = f"{len(found)} rows of {' or '.join(map(str, widths)) or 'no'}"
        raise InvalidInput(f"expected weights for {len(rows)} rows of {len(columns)} columns, at least one; got {came}")
    if not all(0 <= x < math.inf for row in found for x in row):  # fails for NaN too
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
) -> Figure:
    """Heat map of weights (q, k) as in figure 3 of Bahdanau et al. 2015: columns along the top, rows down the side.

    White is 0, dark blue 1; or the largest weight, where one is above 1 since the weights are no distribution. Cells
    are square up to 60 tokens; in longer sentences every n-th token is named, at a mark. `rows` and `columns` are
    tokens as `labels` takes them; a label is cut after 40 characters.

    Raises:
        InvalidInput: as `matrix`.
    """
    return alignments([(weights, rows, columns, rows_label, columns_label, title)])


def alignments(panels: Sequence[Panel], values: str = "attention weight") -> Figure:
    """Heat maps as of `alignment`, side by side with one colour bar: several looks at one sentence.

    A panel is (weights, rows, columns, rows_label, columns_label, title); `values` is what the weights are.

    Raises:
        InvalidInput: no panel, or as `matrix`.
    """
    if not panels:
        raise InvalidInput("expected at least one panel to draw")
    tables = [matrix(weights, rows, columns) for weights, rows, columns, *_ in panels]
    largest = max(x for table in tables for row in table for x in row)
    largest = 1.0 if largest <= 1.001 else largest  # rounding may exceed 1
    most = max(len(tokens) for _, rows, columns, *_ in panels for tokens in (rows, columns))
    sides = [_sides(rows, columns, most) for _, rows, columns, *_ in panels]
    words = [text for panel, both in zip(panels, sides, strict=True) for text in (*both[0][1], *both[1][1], *panel[3:])]
    with _style(*words):
        figure = require("matplotlib.figure", "app").Figure(figsize=(1, 1))  # so that a place in it is in inches
        for table, both, (*_, rows_label, columns_label, title) in zip(tables, sides, panels, strict=True):
            axes = _map(figure, table, both, largest)
            axes.set(xlabel=columns_label, ylabel=rows_label)
            _title(axes, title, narrowest=40 if len(panels) == 1 else 28)
        _bar(figure.axes[-1], values)
        return _fit(_side_by_side(figure))


def pen(points: Weights, unit: str = "") -> Figure:
    """What a pen drew: rows of x, y (upwards) and whether a stroke ends there; nothing is drawn where it was lifted.

    Both axes have one scale; a stroke of a single point is a dot. `unit` is what x and y are measured in.

    Raises:
        InvalidInput: no points, rows of another length, or a number that is not finite.
    """
    rows = [[float(x) for x in row] for row in (points.tolist() if hasattr(points, "tolist") else points)]
    if not rows or any(len(row) != 3 or not all(map(math.isfinite, row)) for row in rows):
        raise InvalidInput("expected points of a pen, at least one: rows of x, y and end, all finite")
    wide, high = (max(row[k] for row in rows) - min(row[k] for row in rows) + 0.5 for k in (0, 1))
    size = min(0.3, 16 / wide, 16 / high)  # inches of a unit, so that no side exceeds 16
    with _style(unit):
        axes = require("matplotlib.figure", "app").Figure(figsize=(size * wide, size * high)).add_axes((0, 0, 1, 1))
        start = 0
        for end in [i for i, row in enumerate(rows) if row[2] > 0.5 or i == len(rows) - 1]:
            x, y, _ = zip(*rows[start : end + 1], strict=True)
            # a line of no length has no cap in an SVG
            marker = {"marker": "o", "ms": 2.2} if start == end else {}
            axes.plot(x, y, "-", color=WHITE_TO_BLUE[-1][1], lw=1.4, solid_capstyle="round", **marker)
            start = end + 1
        axes.set(aspect="equal", xlabel=f"x ({unit})" if unit else "x", ylabel=f"y ({unit})" if unit else "y")
        axes.margins(0.25 / wide, 0.25 / high)
        return _finish(axes, "")


def training_curves(rows: Rows, title: str = "") -> Figure:
    """Training and validation loss, in nats per token, against the step.

    `rows` are lines of a run's metrics: {"step": ..., "loss": ...} or {"step": ..., "validation_loss": ...}.

    Raises:
        InvalidInput: no line holds a step and a loss.
    """
    with _style(title):
        axes = require("matplotlib.figure", "app").Figure(figsize=(5.0, 2.9)).add_axes((0, 0, 1, 1))
        for text, key, colour, width in (("training", "loss", 0, 1.0), ("validation", "validation_loss", 1, 1.5)):
            points = sorted((row["step"], row[key]) for row in rows if "step" in row and row.get(key) is not None)
            finite = [(loss, step) for step, loss in points if math.isfinite(loss)]
            if finite and key == "validation_loss":
                text = "validation (lowest {:.3g} at step {:,})".format(*min(finite))
            if points:
                style = "o-" if len(points) <= (40 if key == "validation_loss" else 1) else "-"
                axes.plot(*zip(*points, strict=True), style, ms=3.5, lw=width, color=COLOURS[colour], label=text)
        if not axes.lines:
            raise InvalidInput(f"expected lines with step and loss or validation_loss; none of {len(rows)} is one")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set(xlabel="training step", ylabel="loss (nats per token)")
        return _finish(axes, title, legend=True)


def score_by_length(
    rows: Rows, metric: str = "BLEU", title: str = "", other: Mapping[str, Rows] | None = None, name: str = "this run"
) -> Figure:
    """A score against the length of the source, with the number of sentences written under each point.

    `rows` are {"words": "3-4", "sentences": 120, "bleu": 48.1}, the key of the score being the metric in lower case;
    `other` are those of further systems by name, to compare with; `name` is what `rows` are called beside them.

    Raises:
        InvalidInput: no rows, one without these keys, or two systems of one name.
    """
    key, systems = metric.lower(), {name: rows, **(other or {})}
    for system, found in systems.items():
        if not found or name in (other or {}) or not all({"words", "sentences", key} <= set(row) for row in found):
            raise InvalidInput(f"{system}: expected its own name, and rows (at least one) with words, sentences, {key}")
    words = sorted({row["words"] for found in systems.values() for row in found}, key=lambda x: int(x.split("-")[0]))
    with _style(title, metric, *systems):
        width = max(3.0, 0.62 * len(words))
        axes = require("matplotlib.figure", "app").Figure(figsize=(width, 2.9)).add_axes((0, 0, 1, 1))
        counts = {}
        for i, (system, found) in enumerate(systems.items()):
            at = {row["words"]: (row[key], f"{row['sentences']:,}") for row in found}
            scores, numbers = zip(*(at.get(text, (math.nan, "–")) for text in words), strict=True)
            counts[f"{system}: sentences"] = COLOURS[i % 6], numbers
            axes.plot(scores, f"{MARKERS[i % 5]}-", ms=5, color=COLOURS[i % 6], clip_on=False, label=system)
        if len({numbers for _, numbers in counts.values()}) == 1:  # all saw the same sentences
            counts = {"sentences": (GREY, numbers)}
        # in lines below, as under survival curves: the numbers never meet what is drawn
        for i, (head, (colour, numbers)) in enumerate(counts.items()):
            down, style = -19 - 12 * i, {"textcoords": "offset points", "va": "top", "color": colour}
            axes.annotate(head, (0, 0), (-9, down), xycoords="axes fraction", ha="right", **style)
            for x, number in enumerate(numbers):
                axes.annotate(number, (x, 0), (0, down), xycoords=("data", "axes fraction"), ha="center", **style)
        axes.xaxis.labelpad = 6 + 12 * len(counts)
        axes.set(xlabel="source length (words)", ylabel=metric, xlim=(-0.5, len(words) - 0.5), ylim=(0, None))
        axes.set_xticks(range(len(words)), [re.sub("-$", "+", text).replace("-", "–") for text in words])
        return _finish(axes, title, legend=len(systems) > 1)


def curves(series: Mapping[str, Sequence[tuple[str, float]]], across: str, up: str, title: str = "") -> Figure:
    """Several systems over the values of one thing: of each a line through its points (value, score).

    The values stand side by side in the order of the first series, whatever numbers they are.

    Raises:
        InvalidInput: no series, or one without points or with a value that the first has not.
    """
    values = [value for value, _ in next(iter(series.values()), ())]
    if not values or not all(points and {value for value, _ in points} <= set(values) for points in series.values()):
        raise InvalidInput("expected at least one series, each with points at the values of the first")
    with _style(title, across, up, *series):
        axes = require("matplotlib.figure", "app").Figure(figsize=(4.2, 2.9)).add_axes((0, 0, 1, 1))
        for i, (name, points) in enumerate(series.items()):
            at = [values.index(value) for value, _ in points]
            scores = [score for _, score in points]
            axes.plot(at, scores, f"{MARKERS[i % 5]}-", ms=5, color=COLOURS[i % 6], clip_on=False, label=name)
        axes.set(xlabel=across, ylabel=up, xlim=(-0.3, len(values) - 0.7), ylim=(0, None))
        every = math.ceil(len(values) / 12)
        axes.set_xticks(range(0, len(values), every), values[::every])
        return _finish(axes, title, legend=len(series) > 1, beside=1)


def histogram(rows: Rows, across: str, up: str, title: str = "") -> Figure:
    """How many there are of each: a bar a row, {across: where it begins, up: how many}, all as wide as the first.

    Raises:
        InvalidInput: no row, or one without these keys.
    """
    if not rows or not all({across, up} <= set(row) for row in rows):
        raise InvalidInput(f"expected at least one row, each with {across} and {up}")
    starts = [row[across] for row in rows]
    width = starts[1] - starts[0] if len(rows) > 1 else 1.0
    with _style(title, across, up):
        axes = require("matplotlib.figure", "app").Figure(figsize=(4.2, 2.6)).add_axes((0, 0, 1, 1))
        axes.bar(starts, [row[up] for row in rows], width, align="edge", color=COLOURS[0], edgecolor="white", lw=0.4)
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel=across, ylabel=up)
        return _finish(axes, title)


def save(figure: Figure, path: str | os.PathLike[str], description: str) -> tuple[Path, ...]:
    """Write PATH.png (200 dots an inch) and PATH.svg (text stays text) with alternative text; return the two paths.

    Both are drawn before either is written, and each is replaced whole; the same figure gives the same bytes. Missing
    folders are made. `description` says what there is to see to who cannot see it.

    Raises:
        InvalidInput: no description.
        OSError: naming the path.
    """
    alternative, base, drawn = _printable(" ".join(description.split())), Path(path), {}
    if not alternative:
        raise InvalidInput("expected a description of the picture, for readers who cannot see it")
    # the title is what a screen reader says of an SVG
    for kind, more in (("png", {"Software": None}), ("svg", {"Title": alternative, "Date": None, "Creator": None})):
        with _style(), io.BytesIO() as file:
            figure.savefig(file, format=kind, metadata={**more, "Description": alternative})
            drawn[base.with_name(f"{base.name}.{kind}")] = file.getvalue()
    base.parent.mkdir(parents=True, exist_ok=True)
    for target, data in drawn.items():
        write_atomically(target, data)
    return tuple(drawn)


def _sides(rows: Sequence[str], columns: Sequence[str], most: int) -> list[Side]:
    """Columns and rows as they are drawn, in a picture whose longest side has so many tokens."""
    sides = []
    for tokens in (columns, rows):
        texts = [text if len(text) <= 40 else f"{text[:39]}…" for text in labels(tokens)]
        cell = min(max(6 / most, 0.22), 0.36, 13.2 / len(tokens))  # inches; a line of turned text needs 0.22
        sides.append((tokens, texts, cell, math.ceil(0.22 / cell - 1e-9)))
    return sides


def _map(figure: Figure, table: list[list[float]], sides: list[Side], largest: float) -> Any:
    """One heat map in a figure of an inch by an inch, its upper left corner at that figure's lower left; its axes."""
    width, height = (cell * len(tokens) for tokens, _, cell, _ in sides)
    axes = figure.add_axes((0, -height, width, height))
    colours = require("matplotlib.colors", "app").LinearSegmentedColormap.from_list("weight", WHITE_TO_BLUE)
    # thousands of shapes would make the SVG slow, and show seams
    few = max(len(tokens) for tokens, *_ in sides) <= 40
    drawn: Any = {"edgecolors": PALE, "linewidth": 0.4} if few else {"rasterized": True}
    axes.pcolormesh(table, vmin=0, vmax=largest, cmap=colours, **drawn)
    axes.spines[:].set_visible(True)
    axes.invert_yaxis()
    axes.xaxis.set(ticks_position="top", label_position="top")
    for axis, (tokens, texts, _, every) in zip((axes.xaxis, axes.yaxis), sides, strict=True):
        axis.set_ticks([i + 0.5 for i in range(0, len(texts), every)], texts[::every])
        axis.set_tick_params(length=0 if every == 1 else 3)
        for label, token in zip(axis.get_ticklabels(), tokens[::every], strict=True):
            if SPECIAL.fullmatch(token):  # "end" the mark, not the word
                label.set(color=GREY, style="italic")
    for label in axes.get_xticklabels():
        label.set(rotation=45, rotation_mode="anchor", ha="left", va="center")
    return axes


def _bar(axes: Any, values: str) -> None:
    """The scale of a heat map, to its right."""
    place = axes.get_position()
    tall = max(1.0, 1.3 / place.height)  # room for its label beside a flat picture
    bar = axes.inset_axes((1 + 0.15 / place.width, 1 - tall, 0.11 / place.width, tall))
    drawn = axes.collections[0]
    ticks = [0, 0.25, 0.5, 0.75, 1] if drawn.norm.vmax == 1 else None
    axes.figure.colorbar(drawn, cax=bar, ticks=ticks, label=values)


def _side_by_side(figure: Figure, gap: float = 0.3) -> Figure:
    """The axes moved apart, so that nothing of one meets what belongs to the next, and their titles at one height.

    The figure is an inch by an inch, and the gap in inches.
    """
    renderer, left = _renderer(figure), 0.0
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    for axes, box in zip(figure.axes, boxes, strict=True):
        place = axes.get_position()
        axes.set_position((place.x0 + left - box.x0 / figure.dpi, place.y0, place.width, place.height))
        axes.xaxis.labelpad += (max(other.y1 for other in boxes) - box.y1) * 72 / figure.dpi  # lifts the title too
        left += box.width / figure.dpi + gap
    return figure


def _printable(text: str) -> str:
    """The text with "�" for what breaks a line, steers a terminal, or may not stand in XML."""
    bad = ("Cc", "Cs", "Zl", "Zp")
    return "".join("�" if unicodedata.category(c) in bad or ord(c) | 1 == 0xFFFF else c for c in text)


@contextmanager
def _style(*texts: str) -> Iterator[None]:
    """Our style, whatever the user's, with matplotlib's own font, then those installed that the texts need."""
    manager: Any = require("matplotlib.font_manager", "app")
    families, missing = ["DejaVu Sans"], {c for c in "".join(texts) if c > " " and unicodedata.category(c) != "Cf"}
    for font in sorted(manager.fontManager.ttflist, key=_rank) if missing else ():
        with suppress(OSError, RuntimeError):  # gone or damaged since it was listed
            face = manager.get_font(font.fname)
            found = {c for c in missing if face.get_char_index(ord(c))}
            missing -= found
            families += [font.name] if found else []
        if not missing:
            break
    style = {**STYLE, "font.family": [*dict.fromkeys(families), "sans-serif"]}
    with require("matplotlib.style", "app").context(["default", style]), warnings.catch_warnings():
        # where no font has a character a box is drawn; in the SVG it is the reader's fonts that count
        warnings.filterwarnings("ignore", r"Glyph .* missing|Matplotlib currently does not support")
        yield


def _rank(font: Any) -> tuple[Any, ...]:
    return font.name != "DejaVu Sans", "Last Resort" in font.name, "Sans" not in font.name, font.name


def _finish(axes: Any, title: str, legend: bool = False, beside: int = 3) -> Figure:
    """Title, legend with so many names beside each other, and the figure fitted to what is drawn."""
    lines = len(axes.lines)
    if legend:  # above the axes, where it hides nothing
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(lines, beside), borderaxespad=0.3, borderpad=0)
    _title(axes, title, pad=10 + 14 * math.ceil(lines / beside) if legend else 8)
    return _fit(axes.figure)


def _title(axes: Any, title: str, pad: int = 8, narrowest: int = 40) -> None:
    """The title in lines as wide as the axes, or of so many characters where those are narrow."""
    width = axes.get_position().width * axes.figure.get_size_inches()[0]
    lines = textwrap.wrap(_printable(" ".join(title.split())), max(narrowest, int(width * 13)))
    axes.set_title("\n".join(lines), loc="left", pad=pad)


def _renderer(figure: Figure) -> Any:
    agg: Any = require("matplotlib.backends.backend_agg", "app")
    return agg.FigureCanvasAgg(figure).get_renderer()


def _fit(figure: Figure, margin: float = 0.12) -> Figure:
    """The figure as large as what is drawn, with a margin in inches; the axes keep their sizes and distances."""
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox(_renderer(figure))
    wide, high = box.width + 2 * margin, box.height + 2 * margin
    for axes in figure.axes:
        place = axes.get_position()
        x, y = margin - box.x0 + place.x0 * width, margin - box.y0 + place.y0 * height
        axes.set_position((x / wide, y / high, place.width * width / wide, place.height * height / high))
    figure.set_size_inches(wide, high)
    return figure
