"""Words and characters coloured by numbers."""

from collections.abc import Sequence

from saccade.core.errors import require
from saccade.core.printable import printable
from saccade.explain.plots.arrays import checked
from saccade.explain.plots.canvas import (
    WHITE_TO_BLUE,
    Figure,
    Weights,
    colour_bar,
    colours,
    fit,
    our_style,
    page,
    renderer_of,
    write_title,
)
from saccade.explain.plots.tokens import short_labels

ORANGE_TO_WHITE = ((0.0, "#7f2704"), (0.1625, "#d94801"), (0.295, "#fd8d3c"), (0.4125, "#fdd0a2"), (0.5, "#ffffff"))
SOFT = ((0.0, "#d94801"), (0.25, "#fdae6b"), (0.5, "#ffffff"), (0.75, "#6baed6"), (1.0, "#2171b5"))  # black is legible
COLUMNS, CELL, ROW = 72, 0.088, 0.19  # characters of a line; inches of a character and of a line of them
WIDE, LINE = 6.4, 0.27  # inches: height of a line of text, and distance between lines


def coloured_words(words: Sequence[str], numbers: Weights, values: str = "weight", title: str = "") -> Figure:
    """A text, with each word on a background in the colour of its number.

    White is 0 and dark blue the largest. If a number is below 0, the scale is symmetric, down to dark orange, and words
    below 0 are in italics, so that they can also be distinguished in grey print.

    Args:
        words: in the form of `labels`.
        numbers: one for each word.
        values: the name of the numbers.

    Raises:
        InvalidInput: no words, a different number of numbers, or one that is not finite.
    """
    found = checked(numbers, str(len(words)), "numbers")
    texts = [text or "␣" for text in short_labels(words)]
    most, signed = float(abs(found).max()) or 1.0, bool((found < 0).any())
    mapping = require("matplotlib.colors", "app").Normalize(-most if signed else 0.0, most)
    shades = colours(
        (*ORANGE_TO_WHITE, *((0.5 + at / 2, shade) for at, shade in WHITE_TO_BLUE[1:])) if signed else WHITE_TO_BLUE
    )
    with our_style(title, values, *texts):
        axes = page().add_axes((0, 0, WIDE, 1))
        axes.set(xlim=(0, WIDE), ylim=(0, 1), xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        renderer, x, row, wide, said = renderer_of(axes.figure), 0.0, 0, 1.6, []
        for text, number in zip(texts, found, strict=True):
            shade = shades(mapping(number))
            dark = sum(weight * part for weight, part in zip((0.299, 0.587, 0.114), shade, strict=False)) < 0.55
            said.append(axes.text(0, 0, text, color="white" if dark else "black", va="center",
                                  style="italic" if number < 0 else "normal",
                                  bbox={"boxstyle": "square,pad=0.18", "fc": shade, "ec": "none"}))  # fmt: skip
            width = said[-1].get_window_extent(renderer).width / axes.figure.dpi
            if x and x + width > WIDE:
                x, row = 0.0, row + 1
            said[-1].set_position((x, row))
            x += width + 0.09
            wide = max(wide, x - 0.09)
        high = LINE * (row + 1)
        axes.set_position((0, -high, wide, high))
        axes.set(xlim=(0, wide), ylim=(row + 0.5, -0.5))
        write_title(axes, title)
        mappable = require("matplotlib.cm", "app").ScalarMappable(mapping, shades)
        bar = axes.inset_axes((0, -0.2 / high, 1.6 / wide, 0.1 / high))
        axes.figure.colorbar(mappable, cax=bar, orientation="horizontal", label=values)
        return fit(axes.figure)


def coloured_characters(characters: str, numbers: Weights, values: str = "cell", title: str = "") -> Figure:
    """A text in its lines, with each character on a background in the colour of its number.

    White is 0, blue 1 and orange -1; the scale begins at 0 if no number is below. Lines of more than 72 characters are
    cut.

    Args:
        characters: the text.
        numbers: one for each character, line breaks included, from -1 to 1.
        values: the name of the numbers.

    Raises:
        InvalidInput: no characters, a different number of numbers, or one that is not finite.
    """
    found = checked(numbers, str(len(characters)), "numbers")
    rows = lines_of(characters, COLUMNS)
    texts = [printable(characters[row.start : row.stop]) for row in rows]
    wide, high = max(1, *map(len, texts)), len(rows)
    shades = [[float(found[row[column]]) if column < len(row) else float("nan") for column in range(wide)]
              for row in rows]  # fmt: skip
    with our_style(title, values, *texts):
        axes = page().add_axes((0, -high * ROW, wide * CELL, high * ROW))
        axes.set(xlim=(0, wide), ylim=(high, 0), xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        signed = bool((found < 0).any())
        scale = require("matplotlib.colors", "app").Normalize(-1 if signed else 0, 1)
        shown = colours(SOFT if signed else tuple((2 * at - 1, shade) for at, shade in SOFT if at >= 0.5))
        drawn = axes.pcolormesh(range(wide + 1), range(high + 1), shades, cmap=shown, norm=scale, linewidth=0)
        for line, text in enumerate(texts):
            for column, character in enumerate(text):
                if character != " ":
                    axes.text(column + 0.5, line + 0.5, character, ha="center", va="center", fontsize=8)
        write_title(axes, title)
        colour_bar(axes, drawn, values)
        return fit(axes.figure)


def lines_of(characters: str, width: int) -> list[range]:
    """The places of each line, without line breaks; longer ones are cut, after a space if there is one."""
    found, start = [], 0
    for line in characters.split("\n"):
        end = start + len(line)
        while end - start > width:
            space = characters.rfind(" ", start, start + width)
            cut = space + 1 if space > start else start + width
            found.append(range(start, cut))
            start = cut
        found.append(range(start, end))
        start = end + 1
    return found
