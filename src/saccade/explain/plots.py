"""Pictures as matplotlib figures, without pyplot: nothing global, no display. matplotlib is imported when one is drawn.

Each is drawn in matplotlib's own default style whatever the user's, so that the same values give the same file.
"""

import io
import math
import os
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from xml.sax.saxutils import quoteattr

from saccade.core.errors import InvalidInput, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure
else:
    Figure = Any  # the annotation is read where types are executed, and matplotlib may be absent

SPACE, SPECIAL = "▁", re.compile(r"<[^<>\s]+>")
INK, GREY, PALE = "#222222", "#666666", "#d0d0d0"
# Okabe and Ito's colours, without yellow (too pale for a line) and black
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = "osD^vP"
# position is lightness (L* from 100 to 20), so that equal steps of weight are equal steps of grey in print
WHITE_TO_BLUE = ((0.0, "#ffffff"), (0.175, "#c6dbef"), (0.41, "#6baed6"), (0.675, "#2171b5"), (1.0, "#08306b"))
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "text.parse_math": False,  # a token may hold dollar signs
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "saccade",
}


@runtime_checkable
class Array(Protocol):
    """A torch tensor or a numpy array."""

    def tolist(self) -> Any: ...


Weights = Array | Sequence[Sequence[float]]


def labels(tokens: Sequence[str]) -> list[str]:
    """What a reader sees for each token of a sentence.

    "▁want" reads "want". In a sentence with such marks a letter or digit without one goes on in the same word: "ed" reads
    "·ed"; punctuation stays as it is. "<s>" and "</s>" read "start" and "end", a control character "�".
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
        InvalidInput: another shape, no labels, or a weight outside [0, 1].
    """
    try:
        found = [
            [float(weight) for weight in row] for row in (weights.tolist() if isinstance(weights, Array) else weights)
        ]
    except TypeError as error:
        raise InvalidInput("expected a matrix of attention weights (rows, columns)") from error
    sizes = sorted({len(row) for row in found})
    if not rows or not columns or len(found) != len(rows) or sizes != [len(columns)]:
        expected = f"expected weights for {len(rows)} rows and {len(columns)} columns, at least one of each"
        raise InvalidInput(f"{expected}; got {len(found)} rows of {' or '.join(map(str, sizes)) or 'no'} columns")
    if not all(0 <= weight <= 1.001 for row in found for weight in row):  # NaN fails too; half precision may round up
        raise InvalidInput("expected attention weights between 0 and 1")
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

    White is 0, dark blue 1. Cells are square up to 60 tokens; in longer sentences every n-th token is named, at a mark.

    Args:
        rows, columns: tokens as `labels` takes them; a label is cut after 40 characters.

    Raises:
        InvalidInput: as `matrix`.
    """
    table = matrix(weights, rows, columns)
    down, along = (
        [text if len(text) <= 40 else f"{text[:39]}…" for text in labels(tokens)] for tokens in (rows, columns)
    )
    side = min(0.36, max(0.2, 6.0 / max(len(down), len(along))))
    step_x, step_y = min(side, 12 / len(along)), min(side, 12 / len(down))
    few = max(len(down), len(along)) <= 40
    with _style(*down, *along, rows_label, columns_label, title):
        figure, axes = _canvas(step_x * len(along), step_y * len(down))
        colours: Any = require("matplotlib.colors", "app")
        mesh = axes.pcolormesh(
            table,
            vmin=0,
            vmax=1,
            cmap=colours.LinearSegmentedColormap.from_list("white_to_blue", WHITE_TO_BLUE),
            edgecolors=PALE if few else "none",
            linewidth=0.5,
            rasterized=not few,  # thousands of shapes would make the SVG slow, and show seams
        )
        axes.invert_yaxis()
        axes.xaxis.set(ticks_position="top", label_position="top")
        for axis, texts, tokens, size in ((axes.xaxis, along, columns, step_x), (axes.yaxis, down, rows, step_y)):
            every = math.ceil(0.2 / size - 1e-9)
            axis.set_ticks([i + 0.5 for i in range(0, len(texts), every)], texts[::every])
            axis.set_tick_params(length=0 if every == 1 else 3, pad=3)
            for drawn, token in zip(axis.get_ticklabels(), tokens[::every], strict=True):
                if SPECIAL.fullmatch(token):  # "end" the mark, not the word
                    drawn.set(color=GREY, style="italic")
        for drawn in axes.get_xticklabels():
            drawn.set(rotation=45, rotation_mode="anchor", ha="left", va="center")
        axes.set(xlabel=columns_label, ylabel=rows_label)
        axes.spines[:].set_visible(True)
        _title(axes, title)
        left, bottom, width, height = axes.get_position().bounds
        wide, high = figure.get_size_inches()
        tall = max(height, 1.3 / high)  # room for its label beside a flat picture
        bar = figure.add_axes((left + width + 0.15 / wide, bottom + height - tall, 0.11 / wide, tall))
        figure.colorbar(mesh, cax=bar, ticks=[0, 0.25, 0.5, 0.75, 1], label="attention weight").outline.set_linewidth(
            0.6
        )
        _crop(figure)
    return figure


def training_curves(rows: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """Training and validation loss, in nats per token, against the step.

    Args:
        rows: lines of a run's metrics: {"step": ..., "loss": ...} or {"step": ..., "validation_loss": ...}.

    Raises:
        InvalidInput: no line holds a step and a loss.
    """
    curves = {}
    for name, key in (("training", "loss"), ("validation", "validation_loss")):
        points = [(row["step"], row[key]) for row in rows if "step" in row and row.get(key) is not None]
        if points:
            curves[name] = sorted(points)
    if not curves:
        raise InvalidInput(f"expected lines with a step and a loss or validation_loss; got {len(rows)} without")
    with _style(title):
        figure, axes = _canvas(5.0, 2.9)
        for name, points in curves.items():
            steps, losses = zip(*points, strict=True)
            label = name
            if name == "validation":
                lowest = min(points, key=lambda point: (point[1], point[0]))
                label = f"validation (lowest {lowest[1]:.3g} at step {lowest[0]:,})"
            few = len(points) == 1 or (name == "validation" and len(points) <= 40)
            colour, width = (COLOURS[0], 1.0) if name == "training" else (COLOURS[1], 1.5)
            axes.plot(
                steps, losses, color=colour, linewidth=width, marker="o" if few else "", markersize=3.5, label=label
            )
        _legend(axes, title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set(xlabel="training step", ylabel="loss (nats per token)")
        _crop(figure)
    return figure


def score_by_length(
    rows: Sequence[Mapping[str, Any]],
    metric: str = "BLEU",
    title: str = "",
    other: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    *,
    name: str = "this run",
) -> Figure:
    """A score against the length of the source, with the number of sentences written under each point.

    Args:
        rows: {"words": "3-4", "sentences": 120, "bleu": 48.1}; the key of the score is the metric in lower case.
        other: the same of further systems, by name, to compare with.
        name: what `rows` are called beside others.

    Raises:
        InvalidInput: no rows, or one without these keys.
    """
    key = metric.lower()
    systems = {name: rows, **(other or {})}
    for system, found in systems.items():
        if not found or any(not {"words", "sentences", key} <= set(row) for row in found):
            raise InvalidInput(f"{system}: expected rows with words, sentences and {key}, at least one")
    bins = sorted(
        {row["words"] for found in systems.values() for row in found}, key=lambda words: int(words.split("-")[0])
    )
    with _style(title, metric, *systems):
        figure, axes = _canvas(max(3.0, 0.62 * len(bins)), 2.9)
        tables = {}
        for i, (system, found) in enumerate(systems.items()):
            at = {row["words"]: row for row in found}
            scores = [at[words][key] if words in at else math.nan for words in bins]
            tables[system] = [f"{at[words]['sentences']:,}" if words in at else "–" for words in bins]
            style = {"color": COLOURS[i % 6], "marker": MARKERS[i % 6], "linestyle": ("-", "--", ":")[i // 6 % 3]}
            axes.plot(range(len(bins)), scores, linewidth=1.5, markersize=5, clip_on=False, label=system, **style)
        if len(systems) > 1:
            _legend(axes, title)
        else:
            _title(axes, title)
        axes.set(xlabel="source length (words)", ylabel=metric, xlim=(-0.5, len(bins) - 0.5))
        axes.set_ylim(0)
        axes.set_xticks(range(len(bins)), [re.sub(r"-$", "+", words).replace("-", "–") for words in bins])
        # as under survival curves: the numbers never meet the lines; once where all systems saw the same sentences
        same = len(set(map(tuple, tables.values()))) == 1
        counts = (
            {"sentences": tables[name]} if same else {f"sentences, {system}": row for system, row in tables.items()}
        )
        for line, (head, row) in enumerate(counts.items()):
            place: dict[str, Any] = {"textcoords": "offset points", "va": "top", "fontsize": 8}
            place["color"] = GREY if same else COLOURS[line % 6]
            axes.annotate(head, (0, 0), (-6, -18 - 11 * line), xycoords="axes fraction", ha="right", **place)
            for i, number in enumerate(row):
                axes.annotate(
                    number, (i, 0), (0, -18 - 11 * line), xycoords=("data", "axes fraction"), ha="center", **place
                )
        axes.xaxis.labelpad = 6 + 11 * len(counts)
        _crop(figure)
    return figure


def save(figure: Figure, path: str | os.PathLike[str], description: str) -> tuple[Path, Path]:
    """Write PATH.png (200 dots an inch) and PATH.svg (text stays text), with alternative text; return both paths.

    Both are drawn before either is written, and replaced whole. The same figure gives the same SVG, byte for byte.

    Args:
        path: without the suffix; missing folders are made.
        description: what the picture shows, for who cannot see it.

    Raises:
        InvalidInput: no description.
        OSError: naming the path.
    """
    alternative = _printable(" ".join(description.split()))
    if not alternative:
        raise InvalidInput("expected a description of the picture, for readers who cannot see it")
    drawn = {}
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        with _style(), io.BytesIO() as file:
            figure.savefig(file, format=kind, metadata={**metadata, "Description": alternative})
            drawn[kind] = file.getvalue()
    # what a screen reader says of an SVG; it does not look into the metadata
    spoken = f'<svg role="img" aria-label={quoteattr(alternative)} '.encode()
    drawn["svg"] = drawn["svg"].replace(b"<svg ", spoken, 1)
    base = Path(path)
    base.parent.mkdir(parents=True, exist_ok=True)
    for kind, data in drawn.items():
        beside = base.with_name(f".{base.name}.{kind}.{os.getpid()}")
        try:
            beside.write_bytes(data)
            os.replace(beside, base.with_name(f"{base.name}.{kind}"))
        finally:
            beside.unlink(missing_ok=True)
    return base.with_name(f"{base.name}.png"), base.with_name(f"{base.name}.svg")


def _printable(text: str) -> str:
    """The text with "�" for what breaks a line, steers a terminal, or may not stand in XML."""
    bad = ("Cc", "Cs", "Zl", "Zp")
    return "".join("�" if unicodedata.category(c) in bad or ord(c) | 1 == 0xFFFF else c for c in text)


@contextmanager
def _style(*texts: str) -> Iterator[None]:
    style: Any = require("matplotlib.style", "app")
    with style.context(["default", {**STYLE, "font.family": _families("".join(texts))}]), warnings.catch_warnings():
        # no font has the character: a box is drawn, and in the SVG the reader's own fonts are asked
        warnings.filterwarnings("ignore", r"Glyph .* missing|Matplotlib currently does not support")
        yield


def _families(text: str) -> list[str]:
    """The font families that draw the text: the one that comes with matplotlib, then of those installed what it needs."""
    manager: Any = require("matplotlib.font_manager", "app")
    families = ["DejaVu Sans"]
    missing = {c for c in text if not c.isspace() and unicodedata.category(c) != "Cf"}

    def rank(font: Any) -> tuple[Any, ...]:
        regular = font.style == "normal" and str(font.weight) in ("400", "normal", "regular")
        return font.name != families[0], "Last Resort" in font.name, not regular, "Sans" not in font.name, font.name

    for font in sorted(manager.fontManager.ttflist, key=rank):
        if not missing:
            break
        try:
            face = manager.get_font(font.fname)
        except (OSError, RuntimeError):  # gone or damaged since it was listed
            continue
        if found := {c for c in missing if face.get_char_index(ord(c))}:
            missing -= found
            families.append(font.name)
    return [*dict.fromkeys(families), "sans-serif"]


def _canvas(width: float, height: float) -> tuple[Figure, Any]:
    """A figure with axes of that many inches; `_crop` gives it its size."""
    figure = require("matplotlib.figure", "app").Figure(figsize=(width + 2, height + 2))
    require("matplotlib.backends.backend_agg", "app").FigureCanvasAgg(figure)
    return figure, figure.add_axes((1 / (width + 2), 1 / (height + 2), width / (width + 2), height / (height + 2)))


def _crop(figure: Figure, margin: float = 0.12) -> None:
    """Fit the figure to what is drawn, with the same margin in inches all around; axes keep their size."""
    box = figure.get_tightbbox(figure.canvas.get_renderer())
    before, after = figure.get_size_inches(), (box.width + 2 * margin, box.height + 2 * margin)
    for axes in figure.axes:
        corner, size = axes.get_position().p0 * before - box.p0 + margin, axes.get_position().size * before
        axes.set_position((*(corner / after), *(size / after)))
    figure.set_size_inches(after)


def _title(axes: Any, title: str, pad: float = 8) -> None:
    wide = max(40, int(axes.get_position().width * axes.figure.get_size_inches()[0] * 13))
    axes.set_title("\n".join(textwrap.wrap(_printable(" ".join(title.split())), wide)), loc="left", pad=pad)


def _legend(axes: Any, title: str) -> None:
    """Above the axes, where it hides nothing."""
    names = len(axes.get_legend_handles_labels()[1])
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=min(names, 3), borderaxespad=0.3, borderpad=0, handlelength=1.6
    )
    _title(axes, title, pad=10 + 14 * math.ceil(names / 3))
