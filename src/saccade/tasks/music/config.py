"""Which pieces a model reads."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from saccade.core.config import config


@config
class MusicConfig:
    """Pieces of music in frames of 88 notes."""

    file: Path | None = None
    """Your own pieces, JSON or gzip: {"train": pieces, "valid": pieces, "test": pieces}; a piece is a list of frames,
    and a frame a list of MIDI numbers, as JSB Chorales are published; none: 60 embedded chorales."""
    transpose: Annotated[int, Field(ge=0, le=24)] = 0
    """Each training piece is shifted, anew in each epoch, by at most this many semitones up or down, within the piano's
    range. JSB Chorales are all in C major or C minor, so that 0 suits them."""
