"""Online letters placed on a line, and strings of letters by one writer.

The letters are Omniglot's (`data/ATTRIBUTION.md`): lower case, each drawn in its own box. Their positions on the line
and their sizes are therefore ours: an x reaches from 0 to 1, an l up to 1.7, a p down to -0.7, and all lengths are in
these x-heights. Within its extent a letter is as its writer drew it, slightly smoothed, since drawing with a mouse left
steps. A stroke keeps the points that a polyline needs.
"""

import gzip
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.core.errors import InvalidInput

Points = NDArray[np.float64]  # (points, 2): x to the right and y up; or (points, 3) with 1 where a stroke ends
ALPHABET = " abcdefghijklmnopqrstuvwxyz"
EMBEDDED = resources.files("saccade.tasks.pen").joinpath("data", "omniglot_latin.tsv.gz")
WRITERS = {"train": range(1, 15), "validation": range(15, 18), "test": range(18, 21)}
EXTENTS = {
    **dict.fromkeys("acemnorsuvwxzi", (0.0, 1.0)), **dict.fromkeys("bdfhkl", (0.0, 1.7)), "t": (0.0, 1.4),
    **dict.fromkeys("gpqyj", (-0.7, 1.0)),
}  # fmt: skip
DOT = 8.0  # a smaller stroke, on the canvas of 105, is a dot or a slip of the mouse
# in x-heights: distance between points before smoothing, width of the smoothing, and tolerance of thinning
SPACING, SMOOTH, TOLERANCE = 0.04, 0.08, 0.03
VARIANTS = 10  # variants of each training letter: one as drawn, the others distorted before their points are thinned


class Letter(NamedTuple):
    """One drawing of a letter on the line. Its left edge is at 0; the last column is 1 where a stroke ends."""

    character: str
    writer: int
    points: Points

    @property
    def width(self) -> float:
        return float(self.points[:, 0].max())


class Line(NamedTuple):
    """A string of one writer's letters, where each starts, and the seed of its distortion; None: undistorted."""

    text: str
    letters: tuple[Letter, ...]
    starts: tuple[float, ...]
    seed: int | None


@cache
def letters(split: str) -> tuple[Letter, ...]:
    """The embedded letters of the split's writers, on the line; ten variants of each training letter."""
    rows = gzip.decompress(EMBEDDED.read_bytes()).decode("ascii").splitlines()
    found: list[Letter] = []
    for character, writer, drawn in (row.split("\t") for row in rows):
        if int(writer) in WRITERS[split]:
            strokes = [np.array([point.split(",") for point in stroke.split()], float) for stroke in drawn.split(";")]
            for variant in range(VARIANTS if split == "train" else 1):
                generator = np.random.default_rng([variant, len(found)]) if variant else None
                found.append(Letter(character, int(writer), on_the_line(character, strokes, generator)))
    return tuple(found)


def on_the_line(character: str, strokes: list[Points], generator: np.random.Generator | None = None) -> Points:
    """(points, 3) of a drawing, scaled to the height in `EXTENTS`, smoothed and thinned; i and j keep one dot.

    With a generator it is distorted before its points are thinned, so that the points differ.
    """
    body = [stroke for stroke in strokes if np.ptp(stroke, 0).max() >= DOT]
    low, high = (float(bound(np.concatenate(body)[:, 1])) for bound in (np.min, np.max))
    bottom, top = EXTENTS[character]
    placed: list[Points] = []
    dotted = False
    for stroke in strokes:
        scaled = (stroke - [0, low]) * (top - bottom) / (high - low) + [0, bottom]
        if np.ptp(stroke, 0).max() >= DOT:
            placed.append(smoothed(scaled))
        elif character in "ij" and not dotted:  # some writers dot more than once
            placed.append(scaled.mean(0, keepdims=True))
            dotted = True
    tolerance = TOLERANCE
    if generator is not None:
        bent = distorted(np.concatenate(placed), [sum(map(len, placed))], generator, 0.0)
        placed = np.split(bent, np.cumsum([len(stroke) for stroke in placed])[:-1])
        tolerance *= generator.uniform(0.7, 1.6)
    points = joined([thinned(stroke, tolerance) for stroke in placed])
    points[:, 0] -= points[:, 0].min()
    return points


def joined(strokes: list[Points]) -> Points:
    """Strokes (points, 2) as one sequence of points (points, 3), with 1 where a stroke ends."""
    rows = []
    for stroke in strokes:
        ends = np.zeros((len(stroke), 1))
        ends[-1] = 1
        rows.append(np.concatenate([stroke, ends], 1))
    return np.concatenate(rows)


def smoothed(stroke: Points) -> Points:
    """The stroke with points at equal distances, averaged over their neighbours; the ends do not move."""
    steps = np.hypot(*np.diff(stroke, axis=0).T)
    along = np.concatenate([[0], np.cumsum(steps)])
    count = max(2, int(along[-1] / SPACING) + 1)
    even = np.stack([np.interp(np.linspace(0, along[-1], count), along, column) for column in stroke.T], 1)
    reach = np.arange(-6, 7)
    kernel = np.exp(-0.5 * (reach * SPACING / SMOOTH) ** 2)
    # beyond an end the stroke continues as its mirror image through that end, so that the end does not move
    before, behind = 2 * even[0] - even[reach[-1] : 0 : -1], 2 * even[-1] - even[-2 : -2 - reach[-1] : -1]
    if len(before) < reach[-1]:
        return even
    padded = np.concatenate([before, even, behind])
    return np.stack([np.convolve(column, kernel / kernel.sum(), "valid") for column in padded.T], 1)


def thinned(stroke: Points, tolerance: float) -> Points:
    """Few points whose polyline stays within the tolerance of the stroke. Douglas & Peucker 1973."""
    kept, open_ = {0, len(stroke) - 1}, [(0, len(stroke) - 1)]
    while open_:
        first, last = open_.pop()
        if last - first < 2:
            continue
        inner, chord = stroke[first + 1 : last] - stroke[first], stroke[last] - stroke[first]
        share = np.clip(inner @ chord / max(chord @ chord, 1e-12), 0, 1)
        away = np.hypot(*(inner - share[:, None] * chord).T)
        if away.max() > tolerance:
            middle = first + 1 + int(away.argmax())
            kept.add(middle)
            open_ += [(first, middle), (middle, last)]
    return stroke[sorted(kept)]


def draw_lines(
    found: Sequence[Letter],
    count: int,
    lengths: tuple[int, int],
    spacing: tuple[float, float],
    seed: int,
    distort: bool,
) -> list[Line]:
    """Lines by one writer each, of uniformly sampled letters; a sixth of the inner characters are spaces.

    Args:
        found: the letters to sample from.
        count: number of lines.
        lengths: fewest and most characters.
        spacing: smallest and largest distance between two letters, in x-heights; a space adds 0.8.
        seed: seed of the draws.
        distort: whether each line is distorted differently.

    Raises:
        InvalidInput: no letters.
    """
    if not found:
        raise InvalidInput("expected at least one letter to make lines of")
    generator, lines = np.random.default_rng(seed), []
    by_writer: dict[int, list[Letter]] = {}
    for letter in found:
        by_writer.setdefault(letter.writer, []).append(letter)
    writers = sorted(by_writer)
    for _ in range(count):
        own = by_writer[writers[generator.integers(len(writers))]]
        size = int(generator.integers(lengths[0], lengths[1] + 1))
        chosen = [own[i] for i in generator.integers(len(own), size=size)]
        spaces = generator.random(size) < 1 / 6
        spaces[[0, -1]] = False
        spaces[1:] &= ~spaces[:-1]
        lines.append(
            set_side_by_side(
                [None if space else letter for letter, space in zip(chosen, spaces, strict=True)],
                generator.uniform(*spacing, size=size),
                int(generator.integers(2**32)) if distort else None,
            )
        )
    return lines


def set_side_by_side(drawn: list[Letter | None], gaps: Points, seed: int | None) -> Line:
    """A line of these letters, None for a space, each followed by its gap."""
    edge, starts = 0.0, []
    for letter, gap in zip(drawn, gaps, strict=True):
        if letter is None:
            edge += 0.8
        else:
            starts.append(edge)
            edge += letter.width + float(gap)
    text = "".join(" " if letter is None else letter.character for letter in drawn)
    return Line(text, tuple(letter for letter in drawn if letter is not None), tuple(starts), seed)


def points_of(line: Line) -> Points:
    """(points, 3) of a line; distorted, as if drawn by another hand, if the line has a seed."""
    sizes = [len(letter.points) for letter in line.letters]
    points, starts = np.concatenate([letter.points for letter in line.letters]), np.repeat(line.starts, sizes)
    if line.seed is not None:
        generator = np.random.default_rng(line.seed)
        slant, stretch = generator.normal(0, 0.12), generator.uniform(0.85, 1.2)
        points[:, :2] = distorted(points[:, :2], sizes, generator)
        points[:, 0] = stretch * points[:, 0] + slant * points[:, 1]
        starts = stretch * starts
    points[:, 0] += starts
    return points


def distorted(points: Points, sizes: Sequence[int], generator: np.random.Generator, jitter: float = 0.015) -> Points:
    """Points (points, 2) of letters of these sizes, each letter slightly turned, stretched, bent and moved.

    Each point also moves independently, by about the jitter.
    """
    firsts = np.cumsum([0, *sizes[:-1]])
    middle = np.add.reduceat(points, firsts) / np.array(sizes)[:, None]
    turn, shear = generator.normal(0, (0.06, 0.1), (len(sizes), 2)).T
    wide, high = np.exp(generator.normal(0, 0.1, (2, len(sizes))))
    matrix = np.moveaxis(np.array([[wide, shear - turn], [turn, high]]), 2, 0)
    phase, size = generator.uniform(0, 2 * np.pi, (len(sizes), 2)), generator.normal(0, 0.06, (len(sizes), 2))
    moved = middle + generator.normal(0, 0.04, (len(sizes), 2))
    middle, matrix, phase, size, moved = (np.repeat(part, sizes, 0) for part in (middle, matrix, phase, size, moved))
    # bent by a smooth field: a sine of one coordinate moves the other
    bent = points - middle + size * np.sin(np.pi * points[:, ::-1] + phase)
    found: Points = np.einsum("pij,pj->pi", matrix, bent) + moved + generator.normal(0, jitter, points.shape)
    return found
