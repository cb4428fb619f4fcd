"""One long text, in characters, bytes or lines: an embedded one, or any files."""

from saccade.tasks.text.config import Bytes, Characters, Lines, TextConfig
from saccade.tasks.text.levels import LevelsTask
from saccade.tasks.text.task import Batch, Example, TextTask, Written

__all__ = ["Batch", "Bytes", "Characters", "Example", "LevelsTask", "Lines", "TextConfig", "TextTask", "Written"]
