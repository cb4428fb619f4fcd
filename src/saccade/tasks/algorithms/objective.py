"""The cost of a sequence: the binary cross-entropy of its bits, summed over the answer."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from saccade.core.recipe import Loss, Part
from saccade.tasks.algorithms.algorithm import Batch
from saccade.tasks.algorithms.task import Prediction


def costs(
    logits: Float[Tensor, "b t o"], targets: Float[Tensor, "b t o"], counted: Bool[Tensor, "b t"]
) -> Float[Tensor, " b"]:
    """The cost of each sequence in nats: - sum of log p(bit) over the bits that are due."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    each = F.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction="none")
    return each.sum(-1).masked_fill(~counted, 0.0).sum(1)


def loss(logits: Float[Tensor, "b t o"], batch: Batch) -> Loss:
    """The mean cost of a sequence, in nats; in bits it is logged."""
    cost = costs(logits, batch.targets, batch.counted).mean()
    return Loss({"nats": Part(cost, len(batch.inputs))}, {"bits_per_sequence": cost.detach() / math.log(2)})


def predictions(logits: Float[Tensor, "b t o"], batch: Batch) -> list[Prediction]:
    """The cost in bits and the more probable bits of each sequence."""
    spent = (costs(logits, batch.targets, batch.counted).double() / math.log(2)).tolist()
    found = []
    for cost, said, counted in zip(spent, (logits > 0).cpu(), batch.counted.cpu(), strict=True):
        rows = ["".join("01"[bit] for bit in row) for row in said[counted].int().tolist()]
        found.append(Prediction(round(cost, 9), tuple(rows)))
    return found
