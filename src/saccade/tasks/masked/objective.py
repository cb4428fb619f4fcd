"""The standard objective of a masked language model: the cross-entropy of the chosen symbols, and, for pairs, that of
whether the second segment follows the first."""

import torch
from torch import nn
from torch.nn import functional as F

from saccade.core.recipe import Loss, Part
from saccade.tasks.masked.task import Batch

FOLLOWS, ELSEWHERE = 0, 1
"""The columns of a model's scores of a pair."""


def masked_symbols(model: nn.Module, batch: Batch, step: int) -> Loss:
    """Mean cross-entropies in nats. The model, called with inputs, mask, segments and chosen, returns a Projection of
    the chosen symbols, and scores (b, 2) of FOLLOWS and ELSEWHERE, or None."""
    symbols, scores = model(batch.inputs, batch.mask, batch.segments, batch.chosen)
    targets = batch.symbols[batch.chosen]
    parts = {"masked": Part(symbols.cross_entropy(targets, -1), batch.chosen.sum())}
    if scores is not None:
        wanted = torch.where(batch.follows, FOLLOWS, ELSEWHERE)
        parts["next"] = Part(F.cross_entropy(scores, wanted), len(wanted))
    return Loss(parts)
