"""The standard objective of handwriting: the density of the points."""

from torch import nn

from saccade.core.recipe import Loss, Part
from saccade.tasks.pen.batch import Batch


def negative_log_density(model: nn.Module, batch: Batch, step: int) -> Loss:
    """Minus the mean log-density of a point, in nats. The model returns the distributions of all points."""
    return Loss({"nats": Part(model(batch).nats(batch.targets, batch.mask), batch.mask.sum())})
