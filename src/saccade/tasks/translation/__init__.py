"""Translation: parallel text, vocabularies, BLEU."""

from saccade.tasks.translation.config import TranslationConfig
from saccade.tasks.translation.task import Batch, Example, TranslationTask

__all__ = ["Batch", "Example", "TranslationConfig", "TranslationTask"]
