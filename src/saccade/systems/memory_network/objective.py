"""The objective of memory networks: the margins of the supporting facts and of the answer."""

from typing import Any

from saccade.core.recipe import Loss, Part
from saccade.tasks.babi import Batch


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """The mean loss of an example. There is none in evaluation, where the error decides: a margin at the right facts
    says little about facts that the network chooses itself."""
    if not model.training:
        return Loss({})
    loss = model.memory.ranking_loss(batch.stories, batch.questions, batch.answers, batch.supports, batch.mask)
    count = len(batch.answers)
    return Loss({"facts": Part(loss.facts.mean(), count), "answer": Part(loss.answers.mean(), count)})
