"""The standard objective of translation: the cross-entropy of the target's symbols."""

from torch import nn

from saccade.core.recipe import Loss, Part
from saccade.tasks.translation.task import Batch
from saccade.tasks.translation.vocabulary import PAD


def cross_entropy(model: nn.Module, batch: Batch, step: int) -> Loss:
    """Mean cross-entropy per symbol, in nats; labels are smoothed only in training. The model returns a Projection."""
    projection = model(batch.source, batch.source_mask, batch.target_inputs)
    smoothing = batch.label_smoothing if model.training else 0.0
    loss = projection.cross_entropy(batch.targets, PAD, smoothing)
    return Loss({"nats": Part(loss, (batch.targets != PAD).sum())})
