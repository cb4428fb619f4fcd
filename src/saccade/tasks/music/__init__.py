"""Music in frames of 88 notes, at each quarter note: embedded chorales, or any file in the form of JSB Chorales."""

from saccade.tasks.music.config import MusicConfig
from saccade.tasks.music.task import Batch, Example, MusicTask, Played

__all__ = ["Batch", "Example", "MusicConfig", "MusicTask", "Played"]
