"""Connectionist temporal classification. Graves, Fernandez, Gomez & Schmidhuber 2006, doi:10.1145/1143844.1143891,
sections 3 and 4.

    p(l | x) = sum over pi in B^-1(l) of prod_t y_t(pi_t)          B drops repeats, then blanks
    d(-log p(l | x)) / d(logits)_tk = y_tk - p(pi_t = k | l, x)

x frames, t time, y_t distribution over labels and blank, l the labelling, pi a path, a label or a blank a frame.
It is attention too, hard and monotonic, with every alignment summed up: p(pi_t | l, x) says when each label was heard.
Labels are conditionally independent given the frames; `transducer` mends that.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from saccade.attention.prefix_beam import search
from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask

LEAST = -1e4  # of a log-probability: what is impossible would make the gradients NaN
LanguageModel = Callable[[tuple[int, ...], int], float]


def frames_needed(targets: Int[Tensor, "b u"], target_lengths: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """The fewest frames that a labelling fits in: one a label, and a blank between two that are alike."""
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
        log_probs: log softmax of the net's outputs. The gradient is that of section 4.2 for the outputs, so what is not
            normalised gets a wrong one. None counts as less than -10,000.
        lengths: frames of each sequence; what stands behind them has no influence, but is not NaN.
        targets: labels, not the blank, each row's first `target_lengths` ones; none at all is a labelling too.
        blank: which symbol it is.
        infeasible: what to do where a labelling needs more frames than there are: raise, or give it no loss and no
            gradient.

    Raises:
        InvalidInput: a labelling that does not fit in its frames; log-probabilities that are NaN; the blank among the
            labels; lengths beyond what there is.
    """
    log_probs = _checked(log_probs, lengths, targets, target_lengths, blank)
    short = _too_short(lengths, targets, target_lengths, raises=infeasible == "raise")
    # no labels at all always fit, and then neither the loss nor its gradient is infinite
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
    """p(pi_t = k | l, x): which label each frame belongs to, given the labelling; zeros behind a sequence's frames.

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
    """B: a path without its repeats, and then without its blanks."""
    return [label for i, label in enumerate(path) if label != blank and (i == 0 or path[i - 1] != label)]


def best_path(log_probs: Float[Tensor, "b t v"], lengths: Int[Tensor, " b"], blank: int = 0) -> list[list[int]]:
    """The labelling of the most probable path, which need not be the most probable labelling (section 3.2)."""
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
    """Labellings and their scores, best first, of one sequence (section 3.2, with a beam: Hannun et al. 2014).

    The score is log p(l | x) + weight log p(l) + bonus |l|; without a beam that is too narrow it is exact.

    Args:
        log_probs: of the frames of one sequence.
        beam: prefixes kept after each frame.
        language_model: log p(label | labels before it), called once for each prefix and label.
        weight: of the language model.
        bonus: for each label, against the language model's love of short answers.

    Raises:
        InvalidInput: log-probabilities that are NaN, a beam below 1, a blank that is no symbol.
    """
    if beam < 1:
        raise InvalidInput(f"a beam must be at least 1, not {beam}")
    none = torch.zeros(1, 0, dtype=torch.long)
    check_labels(log_probs, none, none.sum(1), blank)
    symbols = range(log_probs.shape[-1])

    def added(before: tuple[int, ...]) -> list[float]:
        assert language_model is not None
        return [weight * language_model(before, label) if label != blank else 0.0 for label in symbols]

    frames = log_probs.detach().double().clamp(min=LEAST).cpu().numpy()
    return search(frames, beam, blank, bonus, None if language_model is None else added)


def forced_alignment(
    log_probs: Float[Tensor, "b t v"],
    lengths: Int[Tensor, " b"],
    targets: Int[Tensor, "b u"],
    target_lengths: Int[Tensor, " b"],
    blank: int = 0,
) -> tuple[Int[Tensor, "b t"], Float[Tensor, " b"]]:
    """The most probable path of each labelling, and its log-probability.

    The path is the place in the labelling of what a frame says; -1 for a blank, and behind a sequence's frames.

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
    # two states on, over a blank, where that does not join two labels that are alike
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
        raise InvalidInput(f"sequence {row} has {int(lengths[row])} frames, and its labels need {int(needed[row])}")
    return short


def check_lengths(lengths: Tensor, frames: int, target_lengths: Tensor, labels: int) -> None:
    """Raise unless there are so many frames and labels.

    Raises:
        InvalidInput: lengths beyond what there is.
    """
    if bool((lengths > frames).any() | (lengths < 1).any()):
        raise InvalidInput(f"lengths must be from 1 to {frames} frames, not {lengths.tolist()}")
    if bool((target_lengths > labels).any() | (target_lengths < 0).any()):
        raise InvalidInput(f"target lengths must be from 0 to {labels}, not {target_lengths.tolist()}")


def check_labels(log_probs: Tensor, targets: Tensor, target_lengths: Tensor, blank: int) -> None:
    """Raise unless every label is a symbol, and another one than the blank.

    Raises:
        InvalidInput: such labels, a blank that is no symbol, log-probabilities that are NaN.
    """
    symbols = log_probs.shape[-1]
    if bool(log_probs.isnan().any()):
        raise InvalidInput("the log-probabilities hold NaN")
    if not 0 <= blank < symbols:
        raise InvalidInput(f"the blank must be one of {symbols} symbols, from 0, not {blank}")
    within = targets[length_mask(target_lengths, targets.shape[1])]
    if bool(((within == blank) | (within < 0) | (within >= symbols)).any()):
        raise InvalidInput(f"labels must be from 0 to {symbols - 1} and not the blank, {blank}")


def _checked(log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor, blank: int) -> Tensor:
    """The log-probabilities, in float32 at least; those of what is impossible are finite."""
    check_lengths(lengths, log_probs.shape[1], target_lengths, targets.shape[1])
    check_labels(log_probs, targets, target_lengths, blank)
    return log_probs.to(torch.promote_types(log_probs.dtype, torch.float32)).clamp(min=LEAST)
