"""The standard objective of speech: the cross-entropy of the labels and the end symbol."""

from torch import nn

from saccade.core.recipe import Loss, Part
from saccade.tasks.speech.batch import PAD, Batch


def cross_entropy(model: nn.Module, batch: Batch, step: int) -> Loss:
    """Mean cross-entropy per label, in nats; the end symbol counts as a label. The model returns a Projection."""
    loss = model(batch.features, batch.mask, batch.target_inputs).cross_entropy(batch.targets, PAD)
    return Loss({"nats": Part(loss, (batch.targets != PAD).sum())})
