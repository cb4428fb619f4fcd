"""Sentences, a line each: predict each word from those before it, or from those after it."""

from saccade.tasks.monolingual.config import MonolingualConfig
from saccade.tasks.monolingual.task import Batch, Example, MonolingualTask, Surprise

__all__ = ["Batch", "Example", "MonolingualConfig", "MonolingualTask", "Surprise"]
