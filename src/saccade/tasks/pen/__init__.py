"""Pens: lines of handwriting as points, of embedded letters or of IAM-OnDB; nats a step, and what can be read."""

from saccade.tasks.pen.config import PenConfig
from saccade.tasks.pen.task import Batch, PenTask, Written

__all__ = ["Batch", "PenConfig", "PenTask", "Written"]
