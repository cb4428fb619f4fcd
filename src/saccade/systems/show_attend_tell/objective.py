"""The loss of Show, Attend and Tell. Xu et al. 2015, arXiv:1502.03044, equation 14.

    -log p(y | a) + lambda sum_i (tau - sum_t alpha_ti)^2

Both parts are divided by the number of words, ends included; a word outside the vocabulary does not count. With hard
attention the first is -log p(y | s, a) of sampled regions s, with the score function's estimate of their gradient, and
alpha are the probabilities of the choices, since a choice has no gradient.
"""

from typing import Any

from saccade.core.recipe import Loss, Part
from saccade.nets.doubly_stochastic import doubly_stochastic
from saccade.tasks.captions import Batch
from saccade.tasks.captions.batch import targets_of
from saccade.tasks.captions.words import PAD


def loss(model: Any, batch: Batch, step: int) -> Loss:
    """Nats a word, and the penalty; captions without images have none."""
    state = model.start(model.encode(batch))
    predicted = model.decoder(batch.tokens[:, :-1], state)
    targets = targets_of(batch.tokens)
    words = (targets != PAD).sum()
    parts = {"nats": Part(predicted.projection.cross_entropy(targets, PAD), words)}
    if model.config.penalty and len(batch.pixels):
        missed = doubly_stochastic(model.probabilities(predicted, state), batch.mask[:, 1:], model.config.tau).sum()
        parts["regions"] = Part(missed / words.clamp(min=1), words, model.config.penalty)
    return Loss(parts)
