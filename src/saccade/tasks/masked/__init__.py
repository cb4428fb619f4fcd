"""Texts in which symbols are masked, to be predicted from both sides: masked language models."""

from saccade.tasks.masked.config import MaskedConfig
from saccade.tasks.masked.stream import LengthenedStream, MaskedStream
from saccade.tasks.masked.task import Batch, Example, Filled, MaskedTask

__all__ = ["Batch", "Example", "Filled", "LengthenedStream", "MaskedConfig", "MaskedStream", "MaskedTask"]
