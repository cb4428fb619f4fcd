"""Dialogues turn by turn: the embedded tinyshakespeare, or a play of one's own."""

from saccade.tasks.dialogue.config import DialogueConfig
from saccade.tasks.dialogue.task import END, PAD, START, UNKNOWN, Batch, DialogueTask, Example, Judged

__all__ = ["END", "PAD", "START", "UNKNOWN", "Batch", "DialogueConfig", "DialogueTask", "Example", "Judged"]
