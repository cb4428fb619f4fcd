"""bAbI: stories, questions and supporting facts of 20 tasks, from an embedded sample or the whole set."""

from saccade.tasks.babi.config import BabiConfig
from saccade.tasks.babi.task import BabiTask, Batch, Example

__all__ = ["BabiConfig", "BabiTask", "Batch", "Example"]
