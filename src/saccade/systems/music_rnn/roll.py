"""A piano roll: the probability of each note before its frame, and the notes that were played, outlined."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput, require
from saccade.explain import plots
from saccade.explain.plots.arrays import checked, rounded
from saccade.explain.plots.canvas import colour_bar, colours, count, fit, our_style, page, write_title
from saccade.tasks.music.frames import HIGHEST, LOWEST, NOTES, Frames, named, notes_of
from saccade.tasks.music.midi import write_midi
from saccade.tasks.music.sound import render

KEPT = 48  # the most frames that evidence stores
HIGH, WIDE, WIDEST = 0.105, 0.15, 11.0  # inches of a cell, and of the widest roll
MARGIN, EXPECTED = 2, 0.05  # notes shown beyond those played, and beyond those with this probability
OUTLINE = "#d55e00"
SHADES, FLOORS, NARROWEST = " ░▒▓█", (0.05, 0.25, 0.5, 0.75), 24  # in a terminal


@dataclass(frozen=True, eq=False)
class Roll:
    """Frames of notes, with what was expected of each.

    Raises:
        InvalidInput: no frames, another number of probabilities, one outside of 0 to 1, or a pitch that is not one of
            the piano's.
    """

    name: str
    expected: plots.Weights
    """(t, n): the probability of each note from `lowest` up."""
    frames: Sequence[Sequence[int]]
    """The MIDI numbers of each frame."""
    lowest: int = LOWEST
    given: int | None = None
    """The frames of the theme, after which the net composed; None for a piece that was not composed."""
    tempo: float = 90.0
    """Quarter notes per minute of what is written."""
    title: str = ""

    def __post_init__(self) -> None:
        expected = checked(self.expected, f"{len(self.frames)} n", "probabilities", 0.0)
        if expected.max() > 1 + 1e-6:
            raise InvalidInput(f"expected probabilities from 0 to 1, got {expected.max():.3g}")
        if any(not LOWEST <= pitch <= HIGHEST for frame in self.frames for pitch in frame):
            raise InvalidInput(f"expected notes of the piano, from {LOWEST} to {HIGHEST}")
        object.__setattr__(self, "expected", expected)
        object.__setattr__(self, "frames", tuple(tuple(sorted(frame)) for frame in self.frames))

    @property
    def notes(self) -> Frames:
        return tuple(self.frames)  # type: ignore[arg-type]

    def shown(self) -> tuple[range, Any]:
        """The pitches that are drawn, and the probabilities (t, pitches) of these."""
        whole = np.zeros((len(self.frames), NOTES))
        start = self.lowest - LOWEST
        whole[:, start : start + self.expected.shape[1]] = self.expected
        likely = set((np.flatnonzero(whole.max(0) >= EXPECTED) + LOWEST).tolist())
        pitches = likely.union(*self.frames) or {60}
        found = range(max(LOWEST, min(pitches) - MARGIN), min(HIGHEST, max(pitches) + MARGIN) + 1)
        return found, whole[:, found.start - LOWEST : found.stop - LOWEST]

    def files(self) -> dict[str, bytes]:
        """The music as MIDI and as sound, if it was composed."""
        notes = notes_of(self.notes)
        if self.given is None or not notes:
            return {}
        return {"mid": write_midi(notes, self.tempo), "wav": render(notes, self.tempo)}

    def figure(self) -> plots.Figure:
        pitches, expected = self.shown()
        length = len(self.frames)
        across = min(WIDE, WIDEST / length)
        wide, high = length * across, len(pitches) * HIGH
        patches = require("matplotlib.patches", "app")
        with our_style(self.title):
            axes = page().add_axes((0, -high, wide, high))
            edges = range(length + 1), range(pitches.start, pitches.stop + 1)
            drawn = axes.pcolormesh(*edges, expected.T, vmin=0, vmax=1, cmap=colours(), rasterized=True)
            for pitch, start, end in notes_of(self.notes):
                axes.add_patch(
                    patches.Rectangle((start, pitch), end - start, 1, fill=False, edgecolor=OUTLINE, linewidth=0.9)
                )
            if self.given:
                axes.axvline(self.given, color="black", linewidth=1, linestyle="--")
            count(axes.xaxis, length, wide)
            axes.set(xlim=(0, length), ylim=(pitches.start, pitches.stop), xlabel="quarter note", ylabel="pitch")
            tall = [pitch for pitch in pitches if pitch % 12 in (0, 7)]
            axes.set_yticks([pitch + 0.5 for pitch in tall], [named(pitch) for pitch in tall])
            write_title(axes, self.title)
            colour_bar(axes, drawn, "probability; outlined: played")
            return fit(axes.figure)

    def text(self, width: int) -> str:
        """A line for each note: shades of its probability, "O" where it was played and expected, "o" where it was
        played and less likely than not."""
        pitches, expected = self.shown()
        if width < NARROWEST:
            raise InvalidInput(f"expected a width of at least {NARROWEST}, got {width}")
        room = width - 5
        # of a long piece, where composing begins
        first = max(0, min((self.given or 0) - room // 4, len(self.frames) - room))
        span = range(first, min(first + room, len(self.frames)))
        lines = textwrap.wrap(self.title, width)
        for place in range(len(pitches) - 1, -1, -1):
            row = ""
            for time in span:
                chance, played = float(expected[time, place]), pitches[place] in self.frames[time]
                shade = SHADES[sum(chance >= floor for floor in FLOORS)]
                row += ("O" if chance >= 0.5 else "o") if played else shade
            lines.append(f"{named(pitches[place]):4} {row}".rstrip())
        if self.given and self.given in span:
            lines.append(f"{'':5}{'':{self.given - first}}^ composed from here"[:width])
        said = ["O played", "o played, less likely than not"]
        said += [f"{shade} from {floor}" for shade, floor in zip(SHADES[1:], FLOORS, strict=True)]
        if len(span) < len(self.frames):
            said.append(f"quarters {span.start + 1} to {span.stop} of {len(self.frames)}")
        return "\n".join([*lines, *textwrap.wrap("; ".join(said), width)])

    def page(self) -> dict[str, Any]:
        pitches, expected = self.shown()
        return {
            "expected": rounded(expected, 2), "labels": [named(pitch) for pitch in pitches], "lowest": pitches.start,
            "notes": [[note.pitch, int(note.start), int(note.end)] for note in notes_of(self.notes)],
            "given": self.given, "tempo": self.tempo,
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        pitches, expected = self.shown()
        return {
            "name": self.name, "title": self.title, "lowest": pitches.start, "given": self.given, "tempo": self.tempo,
            "frames": [list(frame) for frame in self.frames[:KEPT]], "expected": rounded(expected[:KEPT], 2),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Roll":
        return cls(**plain)

    def description(self) -> str:
        composed = f", composed from quarter {self.given + 1} on" if self.given is not None else ""
        played = [np.mean([self.expected[t, pitch - self.lowest] for pitch in frame])
                  for t, frame in enumerate(self.frames) if frame and max(frame) < self.lowest + self.expected.shape[1]
                  and min(frame) >= self.lowest]  # fmt: skip
        mean = f"; the mean probability of the notes that were played is {np.mean(played):.2f}" if played else ""
        return f"{self.title or 'Piano roll'}: {len(self.frames)} quarter notes{composed}{mean}"
