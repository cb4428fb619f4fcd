"""Translation: parallel text in, BLEU out."""

from saccade.tasks.translation.task import Batch, Example, TranslationConfig, TranslationTask

__all__ = ["Batch", "Example", "TranslationConfig", "TranslationTask"]
