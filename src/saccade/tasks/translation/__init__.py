"""Translation: parallel text in, BLEU out."""

from saccade.tasks.translation.config import TranslationConfig
from saccade.tasks.translation.task import Batch, Example, TranslationTask

__all__ = ["Batch", "Example", "TranslationConfig", "TranslationTask"]
