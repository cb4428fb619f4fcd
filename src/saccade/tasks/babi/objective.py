"""The standard objective of bAbI: the cross-entropy of the answer."""

from torch import nn
from torch.nn import functional as F

from saccade.core.recipe import Loss, Part
from saccade.tasks.babi.task import Batch


def cross_entropy(model: nn.Module, batch: Batch, step: int) -> Loss:
    """Mean cross-entropy of an answer, in nats; answers that are not in the vocabulary are not counted. The model takes
    a batch and returns logits over the symbols."""
    count = (batch.answers > 0).sum()
    total = F.cross_entropy(model(batch), batch.answers, ignore_index=0, reduction="sum")
    return Loss({"nats": Part(total / count.clamp(min=1), count)})
