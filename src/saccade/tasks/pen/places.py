"""A drawing as positions of the pen, and as the offsets between them."""

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.tasks.pen.letters import Line, Points, points_of


def sizes_of(drawn: Line | Points) -> int:
    """The number of points of a line."""
    return sum(len(letter.points) for letter in drawn.letters) if isinstance(drawn, Line) else len(drawn)


def placed(drawn: Line | Points | None, text: str) -> Points:
    """Positions of the pen (points, 3) while it wrote a text.

    Raises:
        InvalidInput: a coordinate that is not finite, naming the text.
    """
    assert drawn is not None, "this text has no points yet"
    points = points_of(drawn) if isinstance(drawn, Line) else drawn
    if not np.isfinite(points).all():
        number = 1 + int(np.argmin(np.isfinite(points).all(1)))
        raise InvalidInput(f"point {number} of the line {text!r} is not finite")
    return points


def offsets_of(points: Points) -> Points:
    """(points, 3): offsets from each position to the next, the first from the origin; ends of strokes unchanged."""
    moved = np.diff(points[:, :2], axis=0, prepend=np.zeros((1, 2)))
    return np.concatenate([moved, points[:, 2:]], 1)
