"""Sentences, a line each: predict each word from those before it, or from those after it."""

from saccade.tasks.words.config import WordsConfig
from saccade.tasks.words.task import Batch, Example, Surprise, WordsTask

__all__ = ["Batch", "Example", "Surprise", "WordsConfig", "WordsTask"]
