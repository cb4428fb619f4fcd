"""The loss of CTC, as a mean over labels."""

from torch import nn

from saccade.attention.ctc import ctc_loss, frames_needed
from saccade.core.recipe import Loss, Part
from saccade.tasks.speech import BLANK, Batch


def objective(model: nn.Module, batch: Batch, step: int) -> Loss:
    """-log p(labels | recording), nats per label. Recordings too short for their labels are dropped and counted."""
    log_probs = model(batch.features, batch.mask)
    lengths, wanted = batch.lengths, batch.label_lengths
    loss = ctc_loss(log_probs, lengths, batch.labels, wanted, BLANK, infeasible="drop")
    left_out = frames_needed(batch.labels, wanted) > lengths
    labels = wanted.masked_fill(left_out, 0).sum()
    nats = Part(loss.sum() / labels.clamp(min=1), labels)
    return Loss({"nats": nats}, {"too_short": left_out.float().mean()})
