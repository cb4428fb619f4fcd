"""The bound of Luo et al. 2016, equation 8, and the gradient of its gates by the score function, equation 12.

loss = -sum over t with b_t = 1 of log p(y_j | h_t)           the gates sampled; a mean over labels
gradient += that of the surrogate of (R_t, log p(b_t))        R_t = the log-probabilities of the labels from t on
"""

from typing import Any

import torch
from torch.nn import functional as F

from saccade.attention.score_function import following
from saccade.core.recipe import Loss, Part
from saccade.tasks.speech import START, Batch


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """Nats per label, including labels that were forced.

    For a recording with fewer steps than labels, only the labels that fit count.
    """
    said = model(batch.features, batch.mask, batch.labels, START)
    emit = said.gates.emit
    due = F.pad(batch.labels, (0, 1)).gather(1, said.counts)  # 0 after the last label
    log_prob = model.log_probs(said.known).gather(2, due[..., None])[..., 0].masked_fill(~emit, 0.0)
    if model.score_function is not None and model.forced_weight:
        forced = batch.mask & (said.gates.log_prob == 0)
        log_prob = log_prob + model.forced_weight * model.forced(said, emit).masked_fill(~forced, 0.0)
    labels = emit.sum().clamp(min=1)
    loss = -log_prob.sum() / labels
    if model.score_function is None or not torch.is_grad_enabled():
        return Loss({"nats": Part(loss, emit.sum())})
    steps = torch.arange(emit.shape[1], device=emit.device)
    left = torch.stack([batch.label_lengths[:, None] - said.counts, batch.lengths[:, None] - steps], -1)
    known = torch.cat([said.known, left / left.amax((0, 1)).clamp(min=1)], -1)
    decided = batch.mask & (said.gates.log_prob != 0)
    rewards = following(log_prob.detach())
    weight = max(0.0, 1 - step / model.entropy_steps)
    surrogate = (
        model.score_function(
            rewards[decided], said.gates.log_prob[decided], weight * said.gates.entropy[decided], known[decided]
        ).sum()
        / labels
    )
    return Loss(
        {"nats": Part(loss + (surrogate - surrogate.detach()), emit.sum())},
        {"entropy": said.gates.entropy.sum() / decided.sum().clamp(min=1)},
    )
