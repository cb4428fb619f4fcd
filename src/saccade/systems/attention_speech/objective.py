"""The cross-entropy of labels, alone or with a share of the loss of CTC."""

from typing import Any

from saccade.attention.ctc import ctc_loss, frames_needed
from saccade.core.recipe import Loss
from saccade.tasks.speech import BLANK, PAD, Batch


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """Nats a label, of the attention and of CTC alike; the end counts as a label of the attention.

    A recording that is too short for its labels has no part in the loss of CTC.
    """
    encoded = model.encode(batch.features, batch.mask)
    count = (batch.targets != PAD).sum()
    loss = model.decode(encoded, batch.target_inputs).cross_entropy(batch.targets, PAD)
    if model.ctc is None:
        return Loss(loss, {"tokens": count})
    lengths, wanted = batch.lengths, batch.label_lengths
    summed = ctc_loss(model.frame_log_probs(encoded), lengths, batch.labels, wanted, BLANK, infeasible="drop").sum()
    labels = wanted.masked_fill(frames_needed(batch.labels, wanted) > lengths, 0).sum()
    monotonic = summed / labels.clamp(min=1)
    both = model.ctc_weight * monotonic + (1 - model.ctc_weight) * loss
    return Loss(both, {"tokens": count, "attention": loss.detach(), "ctc": monotonic.detach()})
