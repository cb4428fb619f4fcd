"""Checks for every picture: nothing is cut off, texts do not overlap, and it can be saved."""

import io
import itertools
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np

from saccade.explain import plots
from saccade.explain.plots.canvas import our_style, renderer_of


def texts(ticks: list[Any]) -> list[str]:
    return [tick.get_text() for tick in ticks]


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


def pixels(figure: Any, dpi: int = 100) -> np.ndarray:
    with our_style(), io.BytesIO() as file:  # as `save` does
        figure.savefig(file, format="rgba", dpi=dpi)
        flat = np.frombuffer(file.getvalue(), dtype=np.uint8)
    width, height = (int(inches * dpi + 1e-6) for inches in figure.get_size_inches())
    return flat.reshape(height, width, 4)[..., :3]


def assert_whole(figure: Any) -> None:
    """Check that nothing is cut off: there is a white border all around, no wider than a margin."""
    dark = (pixels(figure) < 250).any(-1)
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    margins = rows[0], columns[0], dark.shape[0] - 1 - rows[-1], dark.shape[1] - 1 - columns[-1]
    assert all(8 <= margin <= 18 for margin in margins), margins


def text_class() -> Any:
    from matplotlib.text import Text

    return Text


def assert_apart(figure: Any) -> None:
    """Check that no two texts overlap; rotated ones are ignored, since their bounding boxes overlap."""
    with our_style():
        renderer = renderer_of(figure)
        figure.draw(renderer)
        unseen = set()
        for axis in figure.findobj(lambda artist: hasattr(artist, "majorTicks")):
            seen = axis._update_ticks()  # ticks beyond the ends of an axis exist, but are not drawn
            unseen |= {label for tick in axis.majorTicks if tick not in seen for label in (tick.label1, tick.label2)}
        said = {
            text for text in figure.findobj(text_class()) if text.get_visible() and text.get_text().strip()
        } - unseen
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in said if text.get_rotation() % 90 == 0]
        boxes = [(text, box) for text, box in boxes if box.width and figure.bbox.overlaps(box)]
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(wide, high) <= 0.75, (one, other, wide, high)


def assert_saved(figure: Any, folder: Path) -> None:
    """Check both files and their alternative text; and, if drawing is fast, that the bytes are reproducible."""
    first = plots.save(figure, folder / "first", "words")
    if np.prod(figure.get_size_inches()) < 30:
        second = plots.save(figure, folder / "second", "words")
        assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert first[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert ElementTree.parse(first[1]).getroot().findtext("{http://www.w3.org/2000/svg}title") == "words"
