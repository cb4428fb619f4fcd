"""The recurrent transducer's loss. Graves 2012, arXiv:1211.3711, section 2.4.

    alpha(t, u) = alpha(t-1, u) blank(t-1, u) + alpha(t, u-1) label(t, u-1),   alpha(1, 0) = 1
    p(l | x) = alpha(T, U) blank(T, U)

t frames, u labels emitted so far. Like CTC it sums over all monotonic alignments; unlike CTC the next label depends on
earlier labels, and a frame may emit several. Here each frame is one operation on all u and all sequences: alpha(t, u) /
L(u) is a running sum of alpha(t-1, u) blank(t-1, u) / L(u), L(u) the product of label(t, v) over v < u.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saccade.attention.ctc import LEAST, check_labels, check_lengths, check_log_probs, check_targets
from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask


def transducer_loss(
    log_probs: Float[Tensor, "b t u v"],
    lengths: Int[Tensor, " b"],
    targets: Int[Tensor, "b w"],
    target_lengths: Int[Tensor, " b"],
    blank: int = 0,
) -> Float[Tensor, " b"]:
    """-log p(l | x) of each sequence, in nats (equations 16 and 17); u runs from 0 to the number of labels.

    Args:
        log_probs: log-probabilities of the next symbol at frame t after u labels; values below -10,000 count as
            -10,000.
        lengths: frames of each sequence.
        targets: labels; the first `target_lengths` of each row count.
        blank: the symbol that moves on to the next frame.

    Raises:
        InvalidInput: log-probabilities for another number of labels, or that are NaN or +inf; numbers of sequences that
            differ; lengths out of range; labels that are not symbols, or are the blank; an empty batch.
    """
    check_log_probs(log_probs, ("batch", "frames", "states", "symbols"), blank)
    batch, frames, said, _ = log_probs.shape
    check_targets(targets, batch)
    if said != targets.shape[1] + 1:
        raise InvalidInput(
            f"expected log-probabilities of {targets.shape[1] + 1} states for {targets.shape[1]} labels, not {said}"
        )
    check_lengths(batch, lengths, frames, target_lengths, said - 1)
    check_labels(targets, target_lengths, log_probs.shape[-1], blank)
    outside = ~length_mask(lengths, frames)[:, :, None]
    # float64 for quotients of products over long sequences; -inf is made finite to avoid 0 / 0
    blanks = log_probs[..., blank].double().clamp(min=LEAST).masked_fill(outside, 0.0)
    index = targets.masked_fill(~length_mask(target_lengths, said - 1), blank)
    index = index[:, None, :, None].expand(-1, frames, -1, -1)
    labels = log_probs[:, :, :-1].gather(3, index)[..., 0].double().clamp(min=LEAST).masked_fill(outside, 0.0)
    products = torch.cat([labels.new_zeros(batch, frames, 1), labels.cumsum(2)], 2)
    alpha, every = products[:, 0], [products[:, 0]]
    for t in range(1, frames):
        alpha = products[:, t] + torch.logcumsumexp(alpha + blanks[:, t - 1] - products[:, t], 1)
        every.append(alpha)
    rows = torch.arange(batch, device=targets.device)
    last = torch.stack(every, 1)[rows, lengths - 1, target_lengths] + blanks[rows, lengths - 1, target_lengths]
    return -last.to(torch.promote_types(log_probs.dtype, torch.float32))
