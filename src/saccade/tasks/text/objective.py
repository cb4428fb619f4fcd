"""The standard objective of a language model: the cross-entropy of each next symbol."""

from torch import nn

from saccade.core.recipe import Loss, Part
from saccade.tasks.text.task import Batch

NOT_SCORED = -100
"""A target that is no symbol."""


def next_symbol(model: nn.Module, batch: Batch, step: int) -> Loss:
    """Mean cross-entropy of the scored symbols, in nats. The model, called with symbols and their mask, returns a
    Projection."""
    projection = model(batch.symbols[:, :-1], batch.mask[:, :-1])
    scored = batch.scored[:, 1:]
    targets = batch.symbols[:, 1:].masked_fill(~scored, NOT_SCORED)
    return Loss({"nats": Part(projection.cross_entropy(targets, NOT_SCORED), scored.sum())})
