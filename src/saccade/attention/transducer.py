"""The recurrent transducer's loss. Graves 2012, arXiv:1211.3711, section 2.4.

    alpha(t, u) = alpha(t-1, u) blank(t-1, u) + alpha(t, u-1) label(t, u-1),   alpha(1, 0) = 1
    p(l | x) = alpha(T, U) blank(T, U)

t frames, u labels said so far. As CTC it sums over every monotonic alignment; unlike CTC what is said next depends on
what was said before, and a frame may say several labels. Here a frame is one operation on all u and all sequences:
alpha(t, u) / L(u) is a running sum of alpha(t-1, u) blank(t-1, u) / L(u), L(u) the product of label(t, v) over v < u.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saccade.core.errors import InvalidInput

LEAST = -1e4  # of a label's log-probability: what is impossible would make the quotients 0 / 0


def transducer_loss(
    log_probs: Float[Tensor, "b t u v"],
    lengths: Int[Tensor, " b"],
    targets: Int[Tensor, "b w"],
    target_lengths: Int[Tensor, " b"],
    blank: int = 0,
) -> Float[Tensor, " b"]:
    """-log p(l | x) of each sequence, in nats (equations 16 to 18); u runs from no label said to all of them.

    Args:
        log_probs: log-probabilities of the next symbol at frame t after u labels; a label's count as -10,000 at least.
        lengths: frames of each sequence.
        targets: labels, each row's first `target_lengths` ones.
        blank: the symbol that goes on to the next frame.

    Raises:
        InvalidInput: log-probabilities for another number of labels; lengths beyond what there is; NaN.
    """
    batch, frames, said, _ = log_probs.shape
    if said != targets.shape[1] + 1:
        raise InvalidInput(f"with {targets.shape[1]} labels there are {targets.shape[1] + 1} states, not {said}")
    if bool((lengths < 1).any() | (lengths > frames).any() | (target_lengths >= said).any()):
        raise InvalidInput(
            f"lengths must be from 1 to {frames} and target lengths at most {said - 1}, "
            f"not {lengths.tolist()} and {target_lengths.tolist()}"
        )
    if bool(log_probs.isnan().any()):
        raise InvalidInput("the log-probabilities hold NaN")
    # float64: quotients of products over long sequences
    blanks = log_probs[..., blank].double()
    index = targets[:, None, :, None].expand(-1, frames, -1, -1)
    labels = log_probs[:, :, :-1].gather(3, index)[..., 0].double().clamp(min=LEAST)
    products = torch.cat([labels.new_zeros(batch, frames, 1), labels.cumsum(2)], 2)
    alpha, every = products[:, 0], [products[:, 0]]
    for t in range(1, frames):
        alpha = products[:, t] + torch.logcumsumexp(alpha + blanks[:, t - 1] - products[:, t], 1)
        every.append(alpha)
    rows = torch.arange(batch, device=targets.device)
    last = torch.stack(every, 1)[rows, lengths - 1, target_lengths] + blanks[rows, lengths - 1, target_lengths]
    return -last.to(log_probs.dtype)
