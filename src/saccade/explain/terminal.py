"""Pictures as text: images in shades, strokes in dots, curves as small bars."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.core.printable import printable
from saccade.explain.plots.arrays import pooled
from saccade.explain.text import FLOORS, NARROWEST, SHADES, cells, fit

BARS = "▁▂▃▄▅▆▇█"
PIXELS = " ░▒▓█"  # shades of an image; " " is black
# the bit of each of the 2 x 4 dots of a Braille cell
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
ASCII: dict[str, str | int | None] = {
    **dict(zip("·░▒▓█…–→↵␣", ".-+*#~->/_", strict=True)),
    **dict(zip(BARS[:-1], "__..--=", strict=True)),
    **{chr(0x2800 + dots): " .:*"[min(3, dots.bit_count())] for dots in range(256)},
}


def narrowest(width: int) -> int:
    """The width, checked.

    Raises:
        InvalidInput: it is below 24.
    """
    if width < NARROWEST:
        raise InvalidInput(f"expected a width of at least {NARROWEST}, got {width}")
    return width


def in_ascii(text: str) -> str:
    """The text for a terminal without shades, bars or dots; other characters are escaped."""
    return text.translate(str.maketrans(ASCII)).encode("ascii", "backslashreplace").decode()


def image(pixels: Any, width: int) -> list[str]:
    """An image (y, x) from 0 to 1 in shades, two cells per pixel; a wider image is averaged over neighbouring
    pixels."""
    small = _narrowed(pixels, max(1, width // 2))
    small = pooled(small, -(-pixels.shape[1] // small.shape[1]), 0)
    places = np.clip((small * len(PIXELS)).astype(int), 0, len(PIXELS) - 1)
    return ["".join(2 * PIXELS[place] for place in row).ljust(2 * small.shape[1]) for row in places]


def shades(weights: Any, width: int) -> str:
    """Weights from 0 to 1 as a line of shades, one cell each; weights that share a cell are shown by the largest."""
    return "".join(SHADES[sum(weight >= floor for floor in FLOORS)] for weight in _largest(weights, width))


def legend(scale: float = 1.0) -> list[str]:
    """The legend of the shades, for weights that were divided by a scale."""
    return [f"{shade} from {floor * scale:.2g}" for shade, floor in zip(SHADES[1:], FLOORS, strict=True)]


def spark(values: Any, width: int) -> str:
    """Numbers as bars, from the least to the largest, with gaps for missing numbers."""
    found = _means(np.asarray(values, dtype=float), width)
    least, most = np.nanmin(found), np.nanmax(found)
    places = (found - least) / ((most - least) or 1.0) * (len(BARS) - 1)
    return "".join(" " if np.isnan(place) else BARS[round(float(place))] for place in places)


def dots(strokes: Sequence[Any], width: int, most: int = 24) -> list[str]:
    """Strokes of points (x, y), y upwards, as lines of Braille dots, with the same scale on both axes."""
    points = np.concatenate([np.asarray(stroke, dtype=float) for stroke in strokes])
    low, far = points.min(0), points.max(0)
    across, up = np.maximum(far - low, 1e-9)
    dot = max(across / (2 * width - 1), up / (4 * most - 1))  # the size of a dot
    lines = np.zeros((int(up / dot) // 4 + 1, int(across / dot) // 2 + 1), dtype=int)
    for stroke in strokes:
        at = np.asarray(stroke, dtype=float)
        ends = np.concatenate([at[:1], at])
        for one, two in itertools.pairwise(ends):
            steps = int(np.ceil(np.abs(two - one).max() / dot)) + 1
            for x, y in one + (two - one) * np.linspace(0, 1, steps)[:, None]:
                column, row = round((x - low[0]) / dot), round((far[1] - y) / dot)
                if row // 4 < len(lines) and column // 2 < lines.shape[1]:
                    lines[row // 4, column // 2] |= DOTS[row % 4][column % 2]
    return ["".join(chr(0x2800 + cell) for cell in line) for line in lines]


def beside(blocks: Sequence[Sequence[str]], width: int, gap: int = 2) -> list[str]:
    """Blocks of lines side by side, as many as fit into the width, with the others below."""
    lines: list[str] = []
    row: list[Sequence[str]] = []

    def end() -> None:
        sizes = [max(map(cells, block)) for block in row]
        for number in range(max(map(len, row), default=0)):
            parts = [
                fit(block[number] if number < len(block) else "", size) for block, size in zip(row, sizes, strict=True)
            ]
            lines.append((" " * gap).join(parts).rstrip(" "))
        row.clear()

    for block in blocks:
        if row and sum(max(map(cells, each)) + gap for each in [*row, block]) - gap > width:
            end()
            lines.append("")
        row.append(block)
    end()
    return lines


def titled(title: str, lines: Sequence[str], width: int) -> str:
    """Lines below their title, if there is one; line breaks in them are removed."""
    shown = printable(title)
    above = [fit(shown, min(cells(shown), width))] if shown else []
    return "\n".join([*above, *(printable(line).rstrip(" ") for line in lines)])


def _narrowed(pixels: Any, width: int) -> Any:
    return pooled(pixels, -(-pixels.shape[1] // width), 1)


def _largest(values: Any, width: int) -> Any:
    found = np.asarray(values, dtype=float)
    size = -(-len(found) // width)
    return np.maximum.reduceat(found, np.arange(0, len(found), size))


def _means(values: Any, width: int) -> Any:
    size = -(-len(values) // width)
    parts = (values[start : start + size] for start in range(0, len(values), size))
    return np.array([np.nan if np.isnan(part).all() else np.nanmean(part) for part in parts])
