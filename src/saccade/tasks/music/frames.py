"""Music as frames: the notes that sound at each quarter note, as in Boulanger-Lewandowski et al. 2012, section 6."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.tasks.music.midi import Note, Song

LOWEST, NOTES = 21, 88  # the piano's lowest note, A0, and its number of notes, up to C8
HIGHEST = LOWEST + NOTES - 1
LONGEST = 2000  # frames of a piece that is read
NEAR = 1 / 8  # of a quarter: a note that begins as near to the grid is on it
NAMES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")

Frames = tuple[tuple[int, ...], ...]
"""The pitches of each frame, as MIDI numbers, in rising order."""


def frames_of(song: Song, name: str) -> tuple[Frames, list[str]]:
    """The notes that sound at each quarter, from the first that sounds; and notes for the user on what is lost.

    A note that begins between two quarters sounds from the next one, if it lasts until then.

    Raises:
        InvalidInput: no note sounds at any quarter; more than `LONGEST` frames.
    """
    said = []
    if song.drums:
        said.append(f"{plural(song.drums, 'note')} of drums left out")
    inside = [note for note in song.notes if LOWEST <= note.pitch <= HIGHEST]
    if outside := len(song.notes) - len(inside):
        said.append(f"{plural(outside, 'note')} outside of the piano's range left out (MIDI {LOWEST} to {HIGHEST})")
    held, off, lost = list[tuple[int, int, int]](), 0, 0
    for pitch, start, end in inside:
        first, last = math.ceil(start - NEAR), math.ceil(end - NEAR)
        between = first - start > NEAR
        if not between:
            last = max(last, first + 1)  # a short note on the grid
        off += between
        lost += last <= first
        if last > first:
            held.append((pitch, first, last))
    if off:
        said.append(
            f"{off} of {plural(len(inside), 'note')} begin between quarter notes, as triplets and eighths do: "
            f"{off - lost} rounded to the next quarter, {lost} left out because they end before it"
        )
    if not held:
        raise InvalidInput("; ".join([f"{name}: there is no note at any quarter note", *said]))
    begin, end = min(first for _, first, _ in held), max(last for *_, last in held)
    if end - begin > LONGEST:
        raise InvalidInput(f"{name}: expected at most {LONGEST:,} quarter notes, got {end - begin:,}; cut the piece")
    found: list[set[int]] = [set() for _ in range(end - begin)]
    for pitch, first, last in held:
        for frame in found[first - begin : last - begin]:
            frame.add(pitch)
    return tuple(tuple(sorted(frame)) for frame in found), said


def notes_of(frames: Frames) -> list[Note]:
    """The notes of frames; a pitch that goes on from frame to frame is one long note."""
    notes, since = [], dict[int, int]()
    for time, frame in enumerate([*frames, ()]):
        notes += [Note(pitch, since.pop(pitch), time) for pitch in set(since) - set(frame)]
        for pitch in frame:
            since.setdefault(pitch, time)
    return sorted(notes, key=lambda note: (note.start, note.pitch))


def roll_of(frames: Frames) -> Any:
    """Frames as an array (t, 88) of bytes: 1 where a note sounds."""
    found = np.zeros((len(frames), NOTES), np.uint8)
    for time, frame in enumerate(frames):
        found[time, [pitch - LOWEST for pitch in frame]] = 1
    return found


def frames_from(roll: Any) -> Frames:
    """The frames of an array (t, 88)."""
    return tuple(tuple((np.flatnonzero(row) + LOWEST).tolist()) for row in roll)


def named(pitch: int) -> str:
    """A pitch as musicians write it, such as "C4", middle C."""
    return f"{NAMES[pitch % 12]}{pitch // 12 - 1}"


def written(frames: Sequence[Sequence[int]]) -> str:
    """Frames in one line, such as "C3 G3 E4 C5 | B2 G3 D4 D5"; "-" is a frame without a note."""
    return " | ".join(" ".join(map(named, frame)) or "-" for frame in frames)


def plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
