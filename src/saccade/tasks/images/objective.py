"""The standard objective and the standard predictions of a classifier of images."""

from typing import Any

from torch import nn
from torch.nn import functional as F

from saccade.core.recipe import Loss, Part
from saccade.tasks.images.batch import Batch, Ranked

BEST = 5


def cross_entropy(model: nn.Module, batch: Batch, step: int) -> Loss:
    """Mean cross-entropy of an image, in nats: - sum_k y_k log p_k. The model returns logits; targets may be soft."""
    logits = model(batch.images).float()
    return Loss({"nats": Part(F.cross_entropy(logits, batch.targets), len(batch.labels))})


def ranked(model: nn.Module, batch: Batch, config: Any) -> list[Ranked]:
    """The most probable classes of each image, at most five, with their probabilities to four decimals."""
    found = model(batch.images).double().softmax(1)
    probabilities, labels = found.topk(min(BEST, found.shape[1]), 1)
    return [
        Ranked(tuple(own), tuple(round(value, 4) for value in values))
        for own, values in zip(labels.tolist(), probabilities.tolist(), strict=True)
    ]
