"""Captions: images and clips, and sentences about them."""

from saccade.tasks.captions.batch import Batch, Box, Example, Said
from saccade.tasks.captions.clips_task import ClipBatch, ClipExample, ClipsConfig, ClipsTask
from saccade.tasks.captions.config import CaptionsConfig
from saccade.tasks.captions.task import CaptionsTask

__all__ = [
    "Batch", "Box", "CaptionsConfig", "CaptionsTask", "ClipBatch", "ClipExample", "ClipsConfig", "ClipsTask", "Example",
    "Said",
]  # fmt: skip
