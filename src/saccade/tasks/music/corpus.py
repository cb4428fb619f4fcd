"""The pieces: the embedded chorales, or a file in the same form."""

import hashlib
import json
import lzma
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from saccade.core.errors import InvalidInput
from saccade.core.files import read_record
from saccade.tasks.music.frames import HIGHEST, LONGEST, LOWEST, Frames

EMBEDDED = resources.files("saccade.tasks.music").joinpath("data", "chorales.json.xz")
SPLITS = ("train", "validation", "test")
Pieces = Mapping[str, tuple[Frames, ...]]


@cache
def embedded() -> Pieces:
    """60 chorales: 40 for training, 10 for validation, 10 for the test."""
    return parts_of(json.loads(lzma.decompress(EMBEDDED.read_bytes())), "the embedded chorales")


def pieces_of(path: Path | None) -> Pieces:
    """The pieces of each split.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is not JSON, or not of pieces of frames of notes of the piano.
    """
    return embedded() if path is None else parts_of(read_record(path), str(path))


def parts_of(record: Mapping[str, Any], name: str) -> Pieces:
    """The splits of a record; the name is for messages."""
    found = {}
    for split in SPLITS:
        keys = ("validation", "valid") if split == "validation" else (split,)
        held = next((record[key] for key in keys if key in record), None)
        if not isinstance(held, list) or not held:
            raise InvalidInput(f'{name}: expected a list of pieces under "{keys[-1]}"')
        found[split] = tuple(piece_of(piece, f"{name}, {keys[-1]}, piece {row}") for row, piece in enumerate(held, 1))
    return found


def piece_of(piece: Any, name: str) -> Frames:
    """A piece of lists, checked."""
    if not isinstance(piece, list) or not 1 <= len(piece) <= LONGEST:
        raise InvalidInput(f"{name}: expected from 1 to {LONGEST:,} frames")
    for number, frame in enumerate(piece, 1):
        if not isinstance(frame, list) or any(type(pitch) is not int for pitch in frame):
            raise InvalidInput(f"{name}, frame {number}: expected a list of MIDI numbers")
        if wrong := [pitch for pitch in frame if not LOWEST <= pitch <= HIGHEST]:
            raise InvalidInput(f"{name}, frame {number}: {wrong[0]} is not on the piano (MIDI {LOWEST} to {HIGHEST})")
    return tuple(tuple(sorted(set(frame))) for frame in piece)


def fingerprint(pieces: Pieces) -> str:
    return hashlib.sha256(json.dumps([pieces[split] for split in SPLITS]).encode()).hexdigest()
