"""MIDI files of notes: a reader of formats 0 and 1, and a writer of format 0. Standard MIDI Files 1.0 (MMA, RP-001).

file  = "MThd" length format tracks division, then tracks:  "MTrk" length events
event = delta status data           a variable-length delta of ticks; the status may be omitted if it is the last
                                    one (running status); a note-on of velocity 0 is a note-off
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from saccade.core.errors import InvalidInput

DIVISION, VELOCITY = 480, 64  # what is written: ticks of a quarter note, and the velocity of every note
DRUMS = 9  # channel 10, counted from 0: its numbers name drums, not pitches
SLOWEST, FASTEST = 4, 1000  # quarter notes per minute; below 3.6 the microseconds of one do not fit into three bytes


class Note(NamedTuple):
    """One note; times in quarter notes from the beginning."""

    pitch: int
    """Its MIDI number, from 0 to 127; 60 is middle C."""
    start: float
    end: float


class Song(NamedTuple):
    """The notes of a file, from all tracks, by time and pitch."""

    notes: tuple[Note, ...]
    tempos: tuple[float, ...]
    """Quarter notes per minute, in the order of time; () if the file has none."""
    drums: int
    """The notes of the drum channel, which were left out."""


class _Cursor:
    """Reads forward through the bytes of a file."""

    def __init__(self, data: bytes, place: int, end: int, name: str) -> None:
        self.data, self.place, self.end, self.name = data, place, end, name

    def take(self, count: int) -> bytes:
        if self.place + count > self.end:
            raise InvalidInput(f"{self.name}: the MIDI file is cut off or damaged (at byte {self.end:,})")
        self.place += count
        return self.data[self.place - count : self.place]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """A number of one to four bytes, with seven bits in each."""
        value = 0
        for _ in range(4):
            byte = self.byte()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise self.damaged("a number of more than four bytes")

    def damaged(self, what: str) -> InvalidInput:
        return InvalidInput(f"{self.name}: the MIDI file is damaged ({what}, at byte {self.place:,})")


def read_midi(data: bytes, name: str) -> Song:
    """The notes of a MIDI file. All tracks are merged; notes that never end, end with their track.

    Args:
        data: the content of the file.
        name: its name, for messages.

    Raises:
        InvalidInput: not a MIDI file, a damaged one, one of several songs (format 2), or one timed in frames of film.
    """
    if not data:
        raise InvalidInput(f"{name}: the file is empty")
    if data[:4] != b"MThd":
        raise InvalidInput(f"{name}: not a MIDI file (it does not begin with MThd)")
    file = _Cursor(data, 4, len(data), name)
    length = int.from_bytes(file.take(4))
    header = file.take(length)
    if length < 6:
        raise file.damaged("a short header")
    kind, count, division = struct.unpack(">HHH", header[:6])
    if kind > 1:
        raise InvalidInput(f"{name}: expected MIDI of format 0 or 1, not {kind}; export it again as one song")
    if division >= 0x8000 or not division:
        raise InvalidInput(f"{name}: its time is not counted in quarter notes; export it with ticks per quarter note")
    notes: list[Note] = []
    tempos: list[tuple[int, float]] = []
    drums = found = 0
    while found < count:
        chunk, size = file.take(4), int.from_bytes(file.take(4))
        start = file.place
        file.take(size)
        if chunk != b"MTrk":  # a chunk of another kind is to be skipped
            continue
        found += 1
        track = _read_track(_Cursor(data, start, start + size, name), tempos)
        drums += sum(channel == DRUMS for channel, *_ in track)
        notes += [Note(pitch, begin / division, end / division) for channel, pitch, begin, end in track
                  if channel != DRUMS]  # fmt: skip
    notes.sort(key=lambda note: (note.start, note.pitch, note.end))
    return Song(tuple(notes), tuple(tempo for _, tempo in sorted(tempos, key=lambda one: one[0])), drums)


def _read_track(track: _Cursor, tempos: list[tuple[int, float]]) -> list[tuple[int, int, int, int]]:
    """Channel, pitch, first and last tick of each note; tempos are added to the list with their tick."""
    now, running = 0, 0
    sounding: dict[tuple[int, int], list[int]] = {}
    notes = []
    while track.place < track.end:
        now += track.number()
        status = track.byte()
        if status < 0x80:  # data: the status is the last one
            if not running:
                raise track.damaged("data without a status")
            status, first = running, status
        elif status < 0xF0:
            running, first = status, track.byte()
        elif status in (0xF0, 0xF7, 0xFF):
            running = 0
            kind = track.byte() if status == 0xFF else -1
            content = track.take(track.number())
            if kind == 0x2F:
                break
            if kind == 0x51 and int.from_bytes(content):
                tempos.append((now, 60e6 / int.from_bytes(content)))
            continue
        else:
            raise track.damaged(f"the status {status:#x}")
        command, channel = status >> 4, status & 15
        second = 0 if command in (0xC, 0xD) else track.byte()
        if max(first, second) >= 0x80:
            raise track.damaged("a status where data belong")
        if command == 9 and second:
            sounding.setdefault((channel, first), []).append(now)
        elif command in (8, 9) and sounding.get((channel, first)):
            notes.append((channel, first, sounding[channel, first].pop(0), now))
    return notes + [(*key, begin, now) for key, starts in sounding.items() for begin in starts]


def write_midi(notes: Sequence[Note], tempo: float) -> bytes:
    """A MIDI file of format 0, on one channel, with `DIVISION` ticks per quarter note.

    Args:
        notes: in any order.
        tempo: quarter notes per minute.

    Raises:
        InvalidInput: a tempo outside of `SLOWEST` to `FASTEST`, or a pitch that MIDI does not have.
    """
    if not SLOWEST <= tempo <= FASTEST:
        raise InvalidInput(f"expected a tempo from {SLOWEST} to {FASTEST} quarter notes per minute, got {tempo:g}")
    if wrong := [note.pitch for note in notes if not 0 <= note.pitch <= 127]:
        raise InvalidInput(f"expected pitches from 0 to 127, got {wrong[0]}")
    # ends come before beginnings of the same tick, or a repeated note would be ended at once
    changes = sorted((round(time * DIVISION), on, pitch) for pitch, *times in notes
                     for on, time in zip((1, 0), times, strict=True))  # fmt: skip
    track = bytearray(b"\0\xff\x51\x03" + round(60e6 / tempo).to_bytes(3))
    now = 0
    for tick, on, pitch in changes:
        track += _variable(tick - now) + bytes((0x90 if on else 0x80, pitch, VELOCITY))
        now = tick
    track += b"\0\xff\x2f\0"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, DIVISION) + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def _variable(value: int) -> bytes:
    """A number in seven bits a byte, most significant first; all bytes but the last have the highest bit."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(parts[::-1])
