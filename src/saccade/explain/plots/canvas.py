"""The code that all pictures share: style and fonts, title and legend, size, and files.

matplotlib is used without pyplot, so without global state or a display. It is imported with the first picture.
"""

import io
import math
import os
import textwrap
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from saccade.core.errors import InvalidInput, require
from saccade.core.files import write_atomically
from saccade.core.printable import printable

Figure = Any  # matplotlib.figure.Figure: matplotlib may be absent
Weights = Any  # (rows, columns): a torch tensor, a numpy array, or lists
GREY, PALE = "#666666", "#dddddd"
# spaced by lightness (L* from 100 to 20), so that equal steps of weight are equal steps of grey in print
WHITE_TO_BLUE = ((0.0, "#ffffff"), (0.175, "#c6dbef"), (0.41, "#6baed6"), (0.675, "#2171b5"), (1.0, "#08306b"))
STYLE: dict[str, Any] = {"font.size": 9, "axes.titlesize": 10, "axes.linewidth": 0.6, "legend.frameon": False}
STYLE |= {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}  # tokens may contain dollars
STYLE |= {"savefig.dpi": 200, "svg.fonttype": "none", "svg.hashsalt": "saccade"}

INVISIBLE = "\u200d\ufe0e\ufe0f"  # join emoji and select their form


def blank(width: float, height: float) -> Any:
    """The axes of a new figure, with width and height in inches."""
    return require("matplotlib.figure", "app").Figure(figsize=(width, height)).add_axes((0, 0, 1, 1))


def page() -> Figure:
    """A new figure of one inch by one inch, so that positions are in inches; `fit` enlarges it to its content.

    The first axes have their upper left corner at its lower left; others are beside or below them.
    """
    return require("matplotlib.figure", "app").Figure(figsize=(1, 1))


def colours(steps: Any = WHITE_TO_BLUE) -> Any:
    """The colour map of a scale."""
    return require("matplotlib.colors", "app").LinearSegmentedColormap.from_list("weight", steps)


def colour_bar(axes: Any, drawn: Any, values: str, least: float = 1.3) -> Any:
    """Draw the colour bar, to the right of axes on a `page`, with a minimum height in inches."""
    place = axes.get_position()
    tall = max(1.0, least / place.height)  # room for its label beside a flat picture
    bar = axes.inset_axes((1 + 0.15 / place.width, 1 - tall, 0.11 / place.width, tall))
    ticks = [0, 0.25, 0.5, 0.75, 1] if drawn.get_clim() == (0, 1) else None
    return axes.figure.colorbar(drawn, cax=bar, ticks=ticks, label=values)


def count(axis: Any, size: int, inches: float) -> None:
    """Integer ticks along an axis of cells, as densely as the space allows: at every one, or every second, fifth,
    tenth, ..."""
    steps = (factor * 10**power for power in range(10) for factor in (1, 2, 5))
    step = next(step for step in steps if step * inches / size >= 0.32 or step >= size)
    axis.set_ticks(range(0, size, step))


def every(cell: float, line: float = 0.22) -> int:
    """The distance n between labelled rows, given their height in inches, since a line of text needs 0.22."""
    return math.ceil(line / cell - 1e-9)


@contextmanager
def our_style(*texts: str) -> Iterator[None]:
    """The style of the pictures, regardless of the user's, with matplotlib's own font and the fonts that the texts
    need."""
    needed = (font_of(character) for character in sorted(set("".join(texts))))
    families = dict.fromkeys(["DejaVu Sans", *(name for name in needed if name), "sans-serif"])
    style = {**STYLE, "font.family": [*families]}
    with require("matplotlib.style", "app").context(["default", style]), warnings.catch_warnings():
        # an SVG uses the reader's fonts
        warnings.filterwarnings("ignore", r"Glyph .* missing|Matplotlib currently does not support")
        yield


@cache
def font_of(character: str) -> str | None:
    """The family of the first installed font that has this character; None if no font has it, as for some emoji."""
    manager: Any = require("matplotlib.font_manager", "app")
    if character <= " " or unicodedata.category(character) == "Cf":
        return "DejaVu Sans"
    for font in sorted(manager.fontManager.ttflist, key=_rank):
        with suppress(
            OSError, RuntimeError
        ):  # the font was removed or damaged after it was listed, or has coloured bitmaps
            if "Last Resort" not in font.name and manager.get_font(font.fname).get_char_index(ord(character)):
                return str(font.name)
    return None


def spelled(text: str) -> str:
    """The text, with each symbol that no installed font has replaced by its name, such as "[grinning face]"."""
    lacking = {character for character in text if unicodedata.category(character) == "So" and not font_of(character)}
    if not lacking:
        return text
    names = {character: f"[{unicodedata.name(character, 'symbol').lower()}]" for character in lacking}
    return "".join(names.get(character, character) for character in text if character not in INVISIBLE)


def _rank(font: Any) -> tuple[Any, ...]:
    return font.name != "DejaVu Sans", "Sans" not in font.name, font.name


def finish(axes: Any, title: str, legend: bool = False, beside: int = 3) -> Figure:
    """Add the title and a legend with this many columns, and fit the figure to its content."""
    lines = len(axes.lines)
    if legend:  # above the axes, where it covers nothing
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(lines, beside), borderaxespad=0.3, borderpad=0)
    write_title(axes, title, pad=10 + 14 * math.ceil(lines / beside) if legend else 8)
    return fit(axes.figure)


def write_title(axes: Any, title: str, pad: int = 8, narrowest: int = 40) -> None:
    """Write the title in lines as wide as the axes, or of a minimum number of characters if the axes are narrow."""
    width = axes.get_position().width * axes.figure.get_size_inches()[0]
    lines = textwrap.wrap(spelled(printable(" ".join(title.split()))), max(narrowest, int(width * 13)))
    axes.set_title("\n".join(lines), loc="left", pad=pad)


def renderer_of(figure: Figure) -> Any:
    agg: Any = require("matplotlib.backends.backend_agg", "app")
    return agg.FigureCanvasAgg(figure).get_renderer()


def fit(figure: Figure, margin: float = 0.12) -> Figure:
    """Fit the figure to its content, with a margin in inches; the axes keep their sizes and distances."""
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox(renderer_of(figure))
    wide, high = box.width + 2 * margin, box.height + 2 * margin
    places = [axes.get_position() for axes in figure.axes]  # read all first, since twinned axes move together
    for axes, place in zip(figure.axes, places, strict=True):
        x, y = margin - box.x0 + place.x0 * width, margin - box.y0 + place.y0 * height
        axes.set_position((x / wide, y / high, place.width * width / wide, place.height * height / high))
    figure.set_size_inches(wide, high)
    return figure


def encoded(figure: Figure, kind: str, metadata: Mapping[str, str | None] | None = None) -> bytes:
    """The bytes of a file of this kind, "png" or "svg"."""
    with our_style(), io.BytesIO() as file:
        figure.savefig(file, format=kind, metadata=metadata)
        return file.getvalue()


def save(
    figure: Figure, path: str | os.PathLike[str], description: str, *, kinds: Sequence[str] = ("png", "svg")
) -> tuple[Path, ...]:
    """Write PATH.png (200 dots per inch) and PATH.svg (with text as text) with alternative text; return the paths.

    All are drawn before any is written, and each is replaced as a whole. The same figure gives the same bytes.
    Missing folders are created. `description` is the alternative text, for readers who cannot see the picture.

    Raises:
        InvalidInput: no description.
        OSError: naming the path.
    """
    alternative, base, drawn = printable(" ".join(description.split())), Path(path), dict[Path, bytes]()
    if not alternative:
        raise InvalidInput("expected a description of the picture, for readers who cannot see it")
    # screen readers read the title of an SVG
    named: dict[str, dict[str, str | None]] = {
        "png": {"Software": None},
        "svg": {"Title": alternative, "Date": None, "Creator": None},
    }
    for kind in kinds:
        drawn[base.with_name(f"{base.name}.{kind}")] = encoded(
            figure, kind, {**named[kind], "Description": alternative}
        )
    base.parent.mkdir(parents=True, exist_ok=True)
    for target, data in drawn.items():
        write_atomically(target, data)
    return tuple(drawn)
