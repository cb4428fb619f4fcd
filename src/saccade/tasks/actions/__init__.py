"""Clips of moving digits: eight motions, of which every second one is the run of another backwards."""

from saccade.tasks.actions.config import ActionsConfig
from saccade.tasks.actions.motions import MOTIONS, opposite
from saccade.tasks.actions.task import ActionsTask, Batch, Example, Named

__all__ = ["MOTIONS", "ActionsConfig", "ActionsTask", "Batch", "Example", "Named", "opposite"]
