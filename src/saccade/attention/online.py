"""Hard online attention: emit or wait. Luo, Chiu, Jaitly & Sutskever 2016, arXiv:1608.01281, section 2.

    b_t ~ Bernoulli(sigmoid(w . h_t + c))            at each frame: b_t = 1 emits the next label, b_t = 0 waits
    log p(y, b | x) = sum_t log p(b_t) + sum over t with b_t = 1 of log p(y_j | h_t)

h_t the state at frame t, which depends on the frames, labels and gates so far. All labels must be emitted: when as many
labels as frames are left, every frame emits one, and after the last label none does; such gates are forced. If h_t
depends on the frames and labels but not on when the labels were emitted, p(y | x) is a sum over all 2^T gate sequences
that a recursion computes exactly (`online_log_likelihood`); otherwise the gates are sampled and trained with
`ScoreFunction`.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.ctc import check_lengths
from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap


class Gate(NamedTuple):
    """Whether each sequence emits a label now, with the log-probability and the entropy in nats, both 0 if forced."""

    emit: Bool[Tensor, "*b"]
    log_prob: Float[Tensor, "*b"]
    entropy: Float[Tensor, "*b"]


class OnlineAttention(nn.Module):
    """A gate that decides at each frame (Luo et al. 2016): sampled in training, the more probable value in evaluation.

    Args:
        query_size: features of h_t.
    """

    def __init__(self, query_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(query_size, 1)
        self.emission = Tap("b")
        nn.init.xavier_uniform_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(
        self,
        known: Float[Tensor, "b d"],
        frames_left: Int[Tensor, " b"] | None = None,
        labels_left: Int[Tensor, " b"] | None = None,
        generator: torch.Generator | None = None,
        choice: Bool[Tensor, " b"] | None = None,
    ) -> Gate:
        """Decide.

        Args:
            known: h_t, the state at this frame.
            frames_left, labels_left: numbers left, including this frame; None if unknown, as in prediction.
            generator: makes the sample reproducible.
            choice: the decisions, instead of samples, where they are not forced.

        Raises:
            InvalidInput: sizes that do not match; only one of `frames_left` and `labels_left`.
        """
        if known.ndim != 2 or known.shape[1] != self.gate.in_features:
            raise InvalidInput(f"the state must be (batch, {self.gate.in_features}), not {tuple(known.shape)}")
        if (frames_left is None) != (labels_left is None):
            raise InvalidInput("expected both frames_left and labels_left, or neither")
        for name, of in (("frames left", frames_left), ("labels left", labels_left), ("choices", choice)):
            if of is not None and of.shape != known.shape[:1]:
                raise InvalidInput(f"{name} must be ({len(known)},), one per sequence, not {tuple(of.shape)}")
        logit = self.gate(known)[:, 0]
        logit = logit.to(torch.promote_types(logit.dtype, torch.float32))  # bfloat16 samples are too coarse
        probability = self.emission(torch.sigmoid(logit))
        if choice is None:
            threshold = torch.full_like(probability, 0.5)
            if self.training:
                threshold = torch.rand(
                    probability.shape, generator=generator, device=probability.device, dtype=probability.dtype
                )
            choice = probability > threshold
        log_prob = F.logsigmoid(torch.where(choice, logit, -logit))
        entropy = F.softplus(logit) - logit * probability
        if frames_left is None or labels_left is None:
            return Gate(choice, log_prob, entropy)
        must, done = forced(frames_left, labels_left)
        free = ~(must | done)
        return Gate((choice & free) | must, log_prob.where(free, 0.0), entropy.where(free, 0.0))


def forced(
    frames_left: Int[Tensor, "..."], labels_left: Int[Tensor, "..."]
) -> tuple[Bool[Tensor, "..."], Bool[Tensor, "..."]]:
    """Where a label must be emitted, because as many labels as frames are left; and where no label or no frame is
    left."""
    done = (labels_left <= 0) | (frames_left <= 0)
    return (labels_left >= frames_left) & ~done, done


def online_log_likelihood(
    gate_logits: Float[Tensor, "b t u"],
    label_log_probs: Float[Tensor, "b t w"],
    lengths: Int[Tensor, " b"],
    target_lengths: Int[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """log p(y | x), in nats, summed over all gate sequences.

    Args:
        gate_logits: logit of emitting a label at frame t after u labels, u from 0 to all.
        label_log_probs: log p(y_{u+1}) at frame t after u labels.
        lengths: frames of each sequence.
        target_lengths: labels of each sequence.

    Raises:
        InvalidInput: gates for another number of labels; gates that are NaN, log-probabilities that are NaN or +inf;
            lengths out of range or for another number of sequences; more labels than frames; an empty batch.
    """
    if gate_logits.ndim != 3:
        raise InvalidInput(f"gates must be (batch, frames, states), not {tuple(gate_logits.shape)}")
    batch, frames, states = gate_logits.shape
    if label_log_probs.shape != (batch, frames, states - 1):
        raise InvalidInput(
            f"gates after 0 to {states - 1} labels need labels of shape {(batch, frames, states - 1)}, "
            f"not {tuple(label_log_probs.shape)}"
        )
    if bool(gate_logits.isnan().any()) or not bool((label_log_probs < torch.inf).all()):
        raise InvalidInput("the gates contain NaN, or the log-probabilities contain NaN or +inf")
    check_lengths(batch, lengths, frames, target_lengths, states - 1)
    if bool((target_lengths > lengths).any()):
        row = int((target_lengths > lengths).nonzero()[0])
        raise InvalidInput(
            f"sequence {row} has {int(lengths[row])} frames, too few for its {int(target_lengths[row])} labels"
        )
    said = torch.arange(states, device=gate_logits.device)
    wide = torch.promote_types(gate_logits.dtype, torch.float32)
    gate_logits, label_log_probs = gate_logits.to(wide), label_log_probs.to(wide)
    alpha = gate_logits.new_full((batch, states), -torch.inf)
    alpha[:, 0] = 0.0
    for t in range(frames):
        must, done = forced((lengths - t)[:, None], target_lengths[:, None] - said)
        emit = F.logsigmoid(gate_logits[:, t]).masked_fill(must, 0.0).masked_fill(done, -torch.inf)
        wait = F.logsigmoid(-gate_logits[:, t]).masked_fill(must, -torch.inf).masked_fill(done, 0.0)
        arrived = F.pad(alpha[:, :-1] + emit[:, :-1] + label_log_probs[:, t], (1, 0), value=-torch.inf)
        stepped = log_add(alpha + wait, arrived)
        alpha = torch.where((t < lengths)[:, None], stepped, alpha)
    return alpha.gather(1, target_lengths[:, None])[:, 0]


def log_add(first: Float[Tensor, "*b"], second: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """log(exp(first) + exp(second)). If both are -inf the gradient is 0, where torch's is NaN."""
    nowhere = first.isneginf() & second.isneginf()
    both = torch.logaddexp(first.masked_fill(nowhere, 0.0), second.masked_fill(nowhere, 0.0))
    return both.masked_fill(nowhere, -torch.inf)
