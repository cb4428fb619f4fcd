"""Sentences of classes: generated reviews, SST-2, SST-5, MR, TREC, SUBJ, or a file of one's own."""

from saccade.tasks.sentences.config import PiecesConfig, SentencesConfig
from saccade.tasks.sentences.pieced import PiecedTask
from saccade.tasks.sentences.task import Batch, Chosen, Example, SentencesTask

__all__ = ["Batch", "Chosen", "Example", "PiecedTask", "PiecesConfig", "SentencesConfig", "SentencesTask"]
