"""One long text, in characters, bytes, lines or pieces of words: an embedded one, or any files."""

from saccade.tasks.text.config import BytePieces, Bytes, Characters, Lines, TextConfig, UnigramPieces, WordPieces
from saccade.tasks.text.levels import LevelsTask
from saccade.tasks.text.task import Batch, Example, TextTask, Written

__all__ = [
    "Batch",
    "BytePieces",
    "Bytes",
    "Characters",
    "Example",
    "LevelsTask",
    "Lines",
    "TextConfig",
    "TextTask",
    "UnigramPieces",
    "WordPieces",
    "Written",
]
