"""Captions: images, and sentences about them."""

from saccade.tasks.captions.batch import Batch, Box, Example, Said
from saccade.tasks.captions.config import CaptionsConfig
from saccade.tasks.captions.task import CaptionsTask

__all__ = ["Batch", "Box", "CaptionsConfig", "CaptionsTask", "Example", "Said"]
