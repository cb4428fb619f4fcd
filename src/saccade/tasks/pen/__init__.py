"""Handwriting as the points of a pen, from embedded letters or IAM-OnDB; nats per step, and legible letters."""

from saccade.tasks.pen.batch import Batch, Written
from saccade.tasks.pen.config import PenConfig
from saccade.tasks.pen.task import PenTask

__all__ = ["Batch", "PenConfig", "PenTask", "Written"]
