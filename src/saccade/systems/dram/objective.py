"""The lower bound of DRAM and its gradient.

    F = E[sum_s log p(y_s | image, l)] <= log p(y_1, ..., y_S | image)
    grad F ~ sum_s grad log p(y_s | image, l) + sum_n (R_n - b_n) grad log p(l_n | image, l_1..n-1)

y_s digit number s, l sampled locations. R_n counts the digits that are read right by the glimpses from n on, instead of
summing their log p, which is unbounded and noisy (section 3.1 of the paper); b_n is a linear function of the state that
chose l_n, and the score function is in units of the moving deviation of R.
"""

from typing import Any

import torch
from torch.nn import functional as F

from saccade.attention.score_function import following
from saccade.core.recipe import Loss, Part
from saccade.tasks.digits import Batch


def loss(model: Any, batch: Batch, step: int) -> Loss:
    """Cross-entropy in nats per digit, and the score-function term, whose value means nothing and is counted as 0."""
    looks = model(batch.images)
    labels = batch.labels.view(len(batch.images), -1)
    nats = F.cross_entropy(looks.logits.flatten(0, 1), labels.flatten())
    right = (looks.logits.argmax(-1) == labels).to(nats.dtype)
    glimpses = model.config.glimpses
    rewards = following(right).repeat_interleave(glimpses, 1)
    digits = torch.arange(labels.shape[1], 0, -1, device=rewards.device, dtype=rewards.dtype)  # that follow
    terms = digits.repeat_interleave(glimpses).expand_as(rewards)
    surrogate = model.score(rewards, looks.log_probs, features=looks.before, terms=terms)
    value = surrogate.sum(1).mean()
    parts = {"nats": Part(nats, labels.numel()), "locations": Part(value - value.detach(), len(labels))}
    return Loss(parts, {"right": 100 * right.mean(), "all_right": 100 * right.prod(1).mean()})
