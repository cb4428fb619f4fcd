"""The hybrid loss of RAM: cross-entropy for the network, the score-function estimator for the locations.

    network     -log pi(a* | s_1..T)
    locations   -sum_t (R - b_t) log p(l_t | s_1..t-1),   R = [a = a*] or log pi(a*)

a answer, a* right answer, l locations, s what was seen so far, R reward of all choices, b baseline.
"""

from typing import Any

from torch.nn import functional as F

from saccade.core.recipe import Loss, Part
from saccade.systems.ram.model import Learned, LogProbability
from saccade.tasks.digits import Batch


def loss(model: Any, batch: Batch, step: int) -> Loss:
    """The loss of an image is its cross-entropy in nats. In evaluation that of the mean locations, without samples.

    The surrogate of the locations has a gradient whose value means nothing; it is counted as 0.
    """
    looks = model(batch.images)
    logits = model.answer(looks.hidden[:, -1])
    nats = F.cross_entropy(logits, batch.labels, reduction="none")
    right = (logits.argmax(1) == batch.labels).to(nats.dtype)
    parts, logs = {"nats": Part(nats.mean(), len(nats))}, {"right": 100 * right.mean()}
    chosen = model.config.locations
    if isinstance(chosen, Learned):
        reward = -nats.detach() if isinstance(chosen.reward, LogProbability) else right
        features = looks.before if chosen.baseline == "learned" else None
        surrogate = model.score(reward[:, None].expand_as(looks.log_probs), looks.log_probs, features=features)
        value = surrogate.sum(1).mean()
        parts["locations"] = Part(value - value.detach(), len(nats))
    return Loss(parts, logs)
