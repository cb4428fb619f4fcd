"""The standard objective of bAbI: the cross-entropy of the answer."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.core.recipe import Part
from saccade.tasks.babi.task import Batch


def cross_entropy(logits: Float[Tensor, "b v"], batch: Batch) -> Part:
    """Mean cross-entropy of an answer, in nats; answers that are not in the vocabulary are not counted."""
    count = (batch.answers > 0).sum()
    total = F.cross_entropy(logits, batch.answers, ignore_index=0, reduction="sum")
    return Part(total / count.clamp(min=1), count)
