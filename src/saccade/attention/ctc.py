"""Connectionist temporal classification. Graves, Fernandez, Gomez & Schmidhuber 2006, doi:10.1145/1143844.1143891,
sections 3 and 4.

    p(l | x) = sum over pi in B^-1(l) of prod_t y_t(pi_t)          B drops repeats, then blanks
    d(-log p(l | x)) / d(logits)_tk = y_tk - p(pi_t = k | l, x)

x frames, t time, y_t the distribution over labels and blank, l the labelling, pi a path, which has a label or a blank
for each frame. It is also hard, monotonic attention, summed over all alignments: p(pi_t | l, x) shows when each label
was spoken. Labels are conditionally independent given the frames; in `transducer` they are not.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from saccade.attention.prefix_beam import search
from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask

LEAST = -1e4  # the least log-probability: -inf would make the gradients NaN
LanguageModel = Callable[[tuple[int, ...], int], float]


def frames_needed(targets: Int[Tensor, "b u"], target_lengths: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """The fewest frames that a labelling fits in: one per label, and a blank between two equal ones.

    Raises:
        InvalidInput: numbers of sequences that differ.
    """
    check_targets(targets, len(target_lengths))
    if targets.shape[1] < 2:
        return target_lengths
    alike = targets[:, 1:] == targets[:, :-1]
    return target_lengths + (alike & length_mask(target_lengths - 1, targets.shape[1] - 1)).sum(1)


def ctc_loss(
    log_probs: Float[Tensor, "b t v"],
    lengths: Int[Tensor, " b"],
    targets: Int[Tensor, "b u"],
    target_lengths: Int[Tensor, " b"],
    blank: int = 0,
    infeasible: Literal["raise", "drop"] = "raise",
) -> Float[Tensor, " b"]:
    """-log p(l | x) of each sequence, in nats (equation 8), by torch's kernel.

    Args:
        log_probs: log softmax of the net's outputs. They must be normalised, since the gradient is that of section 4.2
            for the outputs. Values below -10,000 count as -10,000.
        lengths: frames of each sequence; later frames have no influence, but must not be NaN or +inf.
        targets: labels, without blanks; only the first `target_lengths` of each row are used, which may be 0.
        blank: index of the blank.
        infeasible: the action for a labelling that needs more frames than the sequence has: raise, or set its loss and
            gradient to 0.

    Raises:
        InvalidInput: a labelling that needs more frames; log-probabilities that are NaN or +inf; the blank among the
            labels; numbers of sequences that differ; lengths out of range; an empty batch.
    """
    if infeasible not in ("raise", "drop"):
        raise InvalidInput(f'infeasible must be "raise" or "drop", not {infeasible!r}')
    log_probs = _checked(log_probs, lengths, targets, target_lengths, blank)
    short = _too_short(lengths, targets, target_lengths, raises=infeasible == "raise")
    # an empty labelling always fits, so neither the loss nor its gradient is infinite
    fitting = target_lengths.masked_fill(short, 0)
    loss = F.ctc_loss(log_probs.transpose(0, 1), targets, lengths, fitting, blank, reduction="none")
    return loss.masked_fill(short, 0.0)


def posteriors(
    log_probs: Float[Tensor, "b t v"],
    lengths: Int[Tensor, " b"],
    targets: Int[Tensor, "b u"],
    target_lengths: Int[Tensor, " b"],
    blank: int = 0,
) -> Float[Tensor, "b t v"]:
    """p(pi_t = k | l, x): the label that each frame belongs to, given the labelling; zeros beyond a sequence's end.

    Raises:
        InvalidInput: as `ctc_loss`.
    """
    with torch.enable_grad():
        wide = torch.promote_types(log_probs.dtype, torch.float32)
        given = log_probs.detach().to(wide).requires_grad_()
        loss = ctc_loss(given, lengths, targets, target_lengths, blank)
        (slope,) = torch.autograd.grad(loss.sum(), given)
    found = log_probs.detach().to(slope.dtype).exp() - slope
    return found.clamp(min=0).masked_fill(~length_mask(lengths, found.shape[1])[..., None], 0.0)


def collapse(path: Sequence[int], blank: int = 0) -> list[int]:
    """B: remove repeats from a path, then blanks."""
    return [label for i, label in enumerate(path) if label != blank and (i == 0 or path[i - 1] != label)]


def best_path(log_probs: Float[Tensor, "b t v"], lengths: Int[Tensor, " b"], blank: int = 0) -> list[list[int]]:
    """The labelling of the most probable path, which need not be the most probable labelling (section 3.2).

    Raises:
        InvalidInput: log-probabilities that are NaN or +inf; lengths out of range or for another number of sequences; a
            blank that is not a symbol.
    """
    check_log_probs(log_probs, ("batch", "frames", "symbols"), blank)
    _check_each("lengths", lengths, len(log_probs), 0, log_probs.shape[1], " frames")
    paths = log_probs.argmax(2).tolist()
    return [collapse(path[:length], blank) for path, length in zip(paths, lengths.tolist(), strict=True)]


def prefix_beam_search(
    log_probs: Float[Tensor, "t v"],
    beam: int = 10,
    blank: int = 0,
    language_model: LanguageModel | None = None,
    weight: float = 1.0,
    bonus: float = 0.0,
) -> list[tuple[list[int], float]]:
    """The labellings of one sequence with their scores, best first (section 3.2, with a beam: Hannun et al. 2014).

    The score is log p(l | x) + weight log p(l) + bonus |l|; it is exact if the beam is wide enough.

    Args:
        log_probs: log-probabilities of the frames of one sequence.
        beam: prefixes kept after each frame.
        language_model: log p(label | earlier labels), called once for each prefix and label.
        weight: weight of the language model; with 0 it is not called.
        bonus: added for each label, since a language model prefers short answers.

    Raises:
        InvalidInput: log-probabilities of several sequences; log-probabilities, the language model's too, that are NaN
            or +inf; a beam below 1; a blank that is not a symbol.
    """
    if beam < 1:
        raise InvalidInput(f"a beam must be at least 1, not {beam}")
    check_log_probs(log_probs, ("frames", "symbols"), blank)
    symbols = range(log_probs.shape[-1])

    def added(before: tuple[int, ...]) -> list[float]:
        assert language_model is not None
        scores = [language_model(before, label) if label != blank else 0.0 for label in symbols]
        for label, score in enumerate(scores):
            if not score < math.inf:
                raise InvalidInput(
                    f"the language model must give a log-probability of label {label} after {before}, not {score}"
                )
        return [weight * score for score in scores]

    frames = log_probs.detach().double().clamp(min=LEAST).cpu().numpy()
    return search(frames, beam, blank, bonus, None if language_model is None or weight == 0 else added)


def forced_alignment(
    log_probs: Float[Tensor, "b t v"],
    lengths: Int[Tensor, " b"],
    targets: Int[Tensor, "b u"],
    target_lengths: Int[Tensor, " b"],
    blank: int = 0,
) -> tuple[Int[Tensor, "b t"], Float[Tensor, " b"]]:
    """The most probable path of each labelling, with its log-probability.

    The path holds for each frame the index of its label in the labelling; -1 for a blank and beyond a sequence's end.

    Raises:
        InvalidInput: as `ctc_loss`.
    """
    log_probs = _checked(log_probs, lengths, targets, target_lengths, blank)
    _too_short(lengths, targets, target_lengths, raises=True)
    batch, frames, _ = log_probs.shape
    states = 2 * targets.shape[1] + 1  # blank, label, blank, label, ..., blank
    labels = torch.full((batch, states), blank, dtype=torch.long, device=targets.device)
    labels[:, 1::2] = targets.masked_fill(~length_mask(target_lengths, targets.shape[1]), blank)
    emitted = log_probs.gather(2, labels[:, None].expand(-1, frames, -1))
    # a blank may be skipped unless the labels on both sides are equal
    skips = torch.zeros_like(labels, dtype=torch.bool)
    skips[:, 2:] = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    best = torch.full((batch, states), -torch.inf, dtype=log_probs.dtype, device=log_probs.device)
    best[:, :2] = emitted[:, 0, :2]
    steps, scores = [], [best]
    for frame in range(1, frames):
        moves = torch.stack(
            [best, F.pad(best, (1, 0), value=-torch.inf)[:, :-1], F.pad(best, (2, 0), value=-torch.inf)[:, :states]], -1
        )
        moves[..., 2] = moves[..., 2].masked_fill(~skips, -torch.inf)
        value, step = moves.max(-1)
        best = value + emitted[:, frame]
        scores.append(best)
        steps.append(step)
    rows = torch.arange(batch, device=targets.device)
    last = torch.stack(scores, 1)[rows, lengths - 1]
    end = 2 * target_lengths
    ends = torch.stack([end, (end - 1).clamp(min=0)], 1)
    log_prob, which = last.gather(1, ends).max(1)
    state = ends.gather(1, which[:, None])[:, 0]
    path = torch.full((batch, frames), -1, dtype=torch.long, device=targets.device)
    for frame in range(frames - 1, -1, -1):
        inside = frame < lengths
        path[:, frame] = torch.where(inside & (state % 2 == 1), state // 2, -1)
        if frame:
            moved = steps[frame - 1].gather(1, state[:, None])[:, 0]
            state = torch.where(inside, state - moved, state)
    return path, log_prob


def _too_short(lengths: Tensor, targets: Tensor, target_lengths: Tensor, raises: bool) -> Tensor:
    needed = frames_needed(targets, target_lengths)
    short = needed > lengths
    if raises and bool(short.any()):
        row = int(short.nonzero()[0])
        raise InvalidInput(f"sequence {row} has {int(lengths[row])} frames, but its labels need {int(needed[row])}")
    return short


def check_log_probs(log_probs: Tensor, axes: tuple[str, ...], blank: int) -> None:
    """Check the log-probabilities and the blank.

    Raises:
        InvalidInput: the wrong rank, NaN or +inf, a blank that is not a symbol.
    """
    if log_probs.ndim != len(axes):
        raise InvalidInput(f"log-probabilities must be ({', '.join(axes)}), not {tuple(log_probs.shape)}")
    if not bool((log_probs < torch.inf).all()):
        raise InvalidInput("the log-probabilities contain NaN or +inf")
    if not 0 <= blank < log_probs.shape[-1]:
        raise InvalidInput(f"the blank must be one of {log_probs.shape[-1]} symbols, from 0, not {blank}")


def check_lengths(batch: int, lengths: Tensor, frames: int, target_lengths: Tensor, labels: int) -> None:
    """Check the lengths of frames and labels.

    Raises:
        InvalidInput: an empty batch; lengths that are not integers, out of range, or for another number of sequences.
    """
    if not batch:
        raise InvalidInput("a batch must have at least 1 sequence, not 0")
    _check_each("lengths", lengths, batch, 1, frames, " frames")
    _check_each("target lengths", target_lengths, batch, 0, labels, "")


def check_targets(targets: Tensor, batch: int) -> None:
    """Check that there is a row of integers for each sequence.

    Raises:
        InvalidInput: the wrong shape or dtype.
    """
    if targets.ndim != 2 or len(targets) != batch or not _integers(targets):
        raise InvalidInput(
            f"targets must be integers of shape ({batch}, labels), not {targets.dtype} of {tuple(targets.shape)}"
        )


def check_labels(targets: Tensor, target_lengths: Tensor, symbols: int, blank: int) -> None:
    """Check that every label is a symbol and not the blank.

    Raises:
        InvalidInput: some label is neither.
    """
    within = targets[length_mask(target_lengths, targets.shape[1])]
    if bool(((within == blank) | (within < 0) | (within >= symbols)).any()):
        raise InvalidInput(f"labels must be from 0 to {symbols - 1} and not the blank, {blank}")


def _check_each(name: str, lengths: Tensor, batch: int, least: int, most: int, unit: str) -> None:
    if lengths.shape != (batch,) or not _integers(lengths):
        raise InvalidInput(
            f"{name} must be integers of shape ({batch},), not {lengths.dtype} of {tuple(lengths.shape)}"
        )
    if bool(((lengths < least) | (lengths > most)).any()):
        raise InvalidInput(f"{name} must be from {least} to {most}{unit}, not {lengths.tolist()}")


def _integers(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _checked(log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor, blank: int) -> Tensor:
    """The log-probabilities, in at least float32, with -inf made finite."""
    check_log_probs(log_probs, ("batch", "frames", "symbols"), blank)
    batch, frames, symbols = log_probs.shape
    check_targets(targets, batch)
    check_lengths(batch, lengths, frames, target_lengths, targets.shape[1])
    check_labels(targets, target_lengths, symbols, blank)
    return log_probs.to(torch.promote_types(log_probs.dtype, torch.float32)).clamp(min=LEAST)
