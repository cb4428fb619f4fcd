"""The cross-entropy of labels, alone or together with the loss of CTC."""

from typing import Any

from saccade.attention.ctc import ctc_loss, frames_needed
from saccade.core.recipe import Loss, Part
from saccade.tasks.speech import BLANK, PAD, Batch
from saccade.tasks.speech.objective import cross_entropy


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """Nats per label, for attention and for CTC; for attention the end symbol counts as a label.

    Recordings too short for their labels are ignored in the loss of CTC.
    """
    if model.ctc is None:
        return cross_entropy(model, batch, step)
    encoded = model.encode(batch.features, batch.mask)
    attention = model.decode(encoded, batch.target_inputs).cross_entropy(batch.targets, PAD)
    lengths, wanted = batch.lengths, batch.label_lengths
    summed = ctc_loss(model.frame_log_probs(encoded), lengths, batch.labels, wanted, BLANK, infeasible="drop").sum()
    labels = wanted.masked_fill(frames_needed(batch.labels, wanted) > lengths, 0).sum()
    return Loss({
        "ctc": Part(summed / labels.clamp(min=1), labels, model.ctc_weight),
        "attention": Part(attention, (batch.targets != PAD).sum(), 1 - model.ctc_weight),
    })  # fmt: skip
