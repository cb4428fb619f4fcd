"""Linear-chain conditional random field. Lafferty, McCallum & Pereira 2001; as the output of a recurrent net, Lample et
al. 2016, arXiv:1603.01360, section 2.2.

    s(x, y)      = a_y1 + sum_t e_t,yt + sum_t>1 A_yt-1,yt + z_yT
    log p(y | x) = s(x, y) - log sum over all y' of exp s(x, y')               the log-partition
    p(y_t = k)   = d(log-partition) / d(e_t,k)                                 the marginals

e emissions of a net, A transitions, a and z the scores of the first and the last tag. Forward sums from the left and
backward sums from the right take one loop: they stand in one batch. Everything is in log space.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.masks import check_key_mask
from saccade.core.own_backward import own_backward


class Scores(NamedTuple):
    """The scores of a chain."""

    emissions: Float[Tensor, "b t k"]
    transitions: Float[Tensor, "k k"]
    """Row: the tag before; column: the tag."""
    start: Float[Tensor, " k"]
    end: Float[Tensor, " k"]
    mask: Bool[Tensor, "b t"]


def path_score(scores: Scores, tags: Int[Tensor, "b t"]) -> Float[Tensor, " b"]:
    """s(x, y); 0 for a sentence without words."""
    mask, lengths = scores.mask, scores.mask.sum(1)
    own = tags.masked_fill(~mask, 0)
    each = scores.emissions.gather(2, own[:, :, None])[:, :, 0]
    # one look-up of flat indices: its gradient is faster than that of two
    steps = scores.transitions.flatten()[own[:, :-1] * len(scores.start) + own[:, 1:]]
    last = own.gather(1, (lengths - 1).clamp(min=0)[:, None])[:, 0]
    ends = (scores.start[own[:, 0]] + scores.end[last]).masked_fill(lengths == 0, 0.0)
    return each.masked_fill(~mask, 0.0).sum(1) + steps.masked_fill(~mask[:, 1:], 0.0).sum(1) + ends


def log_partition(scores: Scores) -> Float[Tensor, " b"]:
    """The logarithm of the sum of exp s(x, y) over all paths y; 0 for a sentence without words."""
    if own_backward():
        return LogPartition.apply(*scores)  # type: ignore[no-any-return, no-untyped-call]
    return _from_the_left(scores)


def _from_the_left(scores: Scores) -> Float[Tensor, " b"]:
    """The log-partition, for any derivative."""
    total = scores.start + scores.emissions[:, 0]
    for step in moves(scores).unbind(1):
        total = (step + total[:, :, None]).logsumexp(1)
    return _closed(total, scores)


def marginals(scores: Scores) -> Float[Tensor, "b t k"]:
    """The probability of each tag at each position; 0 at padding. It has no gradient."""
    with torch.no_grad():
        forward, backward = sums(scores)
        return _through(forward, backward, _closed(forward[:, -1], scores), scores.mask)


def viterbi(scores: Scores) -> Int[Tensor, "b t"]:
    """The best path; 0 at padding."""
    with torch.no_grad():
        best, origins = scores.start + scores.emissions[:, 0], []
        for step in moves(scores).mT.unbind(1):
            best, origin = (step + best[:, None]).max(-1)
            origins.append(origin)
        tag = (best + scores.end).argmax(-1, keepdim=True)
        path = [tag]
        for origin in reversed(origins):
            tag = origin.gather(1, tag)
            path.append(tag)
        return torch.cat(path[::-1], 1).masked_fill(~scores.mask, 0)


def moves(scores: Scores) -> Float[Tensor, "b s k k"]:
    """The score of each pair of tags at the positions t - 1 and t, for t from the second; padding keeps the tag."""
    step = scores.transitions + scores.emissions[:, 1:, None]
    stay = torch.full_like(scores.transitions, -torch.inf).fill_diagonal_(0.0)
    return torch.where(scores.mask[:, 1:, None, None], step, stay)


def sums(scores: Scores) -> tuple[Float[Tensor, "b t k"], Float[Tensor, "b t k"]]:
    """The log-sums over the paths up to each position and tag, its emission included, and over those from there on."""
    count, size = scores.emissions.shape[0], len(scores.start)
    step = moves(scores)
    # the tag over which a step sums stands before the sentences: sums over the first axis are the fastest
    both = torch.cat([step.permute(1, 2, 0, 3), step.flip(1).permute(1, 3, 0, 2)], 2)
    total = torch.cat([scores.start + scores.emissions[:, 0], scores.end.expand(count, size)])
    totals = [total]
    for each in both:
        total = _log_sum(each + total.mT[:, :, None])
        totals.append(total)
    forward, backward = torch.stack(totals, 1).split(count)
    return forward, backward.flip(1)


def _log_sum(terms: Float[Tensor, "k *b"]) -> Float[Tensor, "*b"]:
    """The logarithm of the sum of exponentials over the first axis; it overwrites its argument."""
    most = terms.amax(0).clamp(min=torch.finfo(terms.dtype).min)  # not -inf, where nothing is possible
    return terms.sub_(most).exp_().sum(0).log_().add_(most)


def _closed(last: Float[Tensor, "b k"], scores: Scores) -> Float[Tensor, " b"]:
    """The log-partition, from the sums over the paths up to the last position."""
    return (last + scores.end).logsumexp(-1).masked_fill(~scores.mask[:, 0], 0.0)


def _through(
    forward: Float[Tensor, "b t k"], backward: Float[Tensor, "b t k"], total: Float[Tensor, " b"], mask: Tensor
) -> Float[Tensor, "b t k"]:
    return (forward + backward - total[:, None, None]).exp().masked_fill(~mask[:, :, None], 0.0)


class LogPartition(torch.autograd.Function):
    """The log-partition, whose gradients are marginals: those of one tag, and those of pairs."""

    @staticmethod
    def forward(ctx: Any, emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, mask: Tensor) -> Tensor:
        scores = Scores(emissions, transitions, start, end, mask)
        forward, backward = sums(scores)
        total = _closed(forward[:, -1], scores)
        ctx.save_for_backward(*scores, forward, backward, total)
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        *given, forward, backward, total = ctx.saved_tensors
        scores = Scores(*given)
        if torch.is_grad_enabled():  # someone wants the gradient of a gradient
            wanted = [tensor for tensor, needed in zip(given, ctx.needs_input_grad, strict=True) if needed]
            slopes = iter(torch.autograd.grad(_from_the_left(scores), wanted, slope, create_graph=True))
            return tuple(next(slopes) if needed else None for needed in ctx.needs_input_grad)
        through = _through(forward, backward, total, scores.mask) * slope[:, None, None]
        # forward sums hold the emission at t - 1, backward sums that after t
        right = backward[:, 1:] + scores.emissions[:, 1:] - total[:, None, None]
        pairs = forward[:, :-1, :, None] + scores.transitions + right[:, :, None]
        pairs = pairs.masked_fill_(~scores.mask[:, 1:, None, None], -torch.inf).exp_()
        size = len(scores.start)
        moved = (slope @ pairs.sum(1).flatten(1)).view(size, size)
        last = (forward[:, -1] + scores.end - total[:, None]).exp().masked_fill(~scores.mask[:, :1], 0.0)
        return through, moved, through[:, 0].sum(0), slope @ last, None


class LinearChain(nn.Module):
    """Conditional random field over the tags of a sequence (Lafferty et al. 2001).

    Args:
        tags: number of tags.

    Raises:
        InvalidInput: emissions of another number of tags; a mask that is not bool of shape (b, t), True at the first
            positions of each sequence; tags out of range.
    """

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.tags = tags
        self.transitions = nn.Parameter(torch.empty(tags, tags))
        self.start = nn.Parameter(torch.empty(tags))
        self.end = nn.Parameter(torch.empty(tags))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for weight in self.parameters():
            nn.init.uniform_(weight, -0.1, 0.1)

    def forward(
        self, emissions: Float[Tensor, "b t k"], tags: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, " b"]:
        """log p(y | x) of each sequence, in nats; tags at padding have no influence."""
        scores = self.scores(emissions, mask)
        if not torch.compiler.is_compiling() and bool((mask & ((tags < 0) | (tags >= self.tags))).any()):
            raise InvalidInput(f"expected tags from 0 to {self.tags - 1}")
        if not emissions.shape[1]:
            return emissions.new_zeros(len(emissions))
        return path_score(scores, tags) - log_partition(scores)

    def log_partition(self, emissions: Float[Tensor, "b t k"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, " b"]:
        """The logarithm of the sum over all paths, in nats."""
        scores = self.scores(emissions, mask)
        return log_partition(scores) if emissions.shape[1] else emissions.new_zeros(len(emissions))

    def marginals(self, emissions: Float[Tensor, "b t k"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t k"]:
        """The probability of each tag at each position; 0 at padding. It has no gradient."""
        scores = self.scores(emissions, mask)
        return marginals(scores) if emissions.shape[1] else scores.emissions

    def viterbi(self, emissions: Float[Tensor, "b t k"], mask: Bool[Tensor, "b t"]) -> Int[Tensor, "b t"]:
        """The most probable tags of each sequence; 0 at padding."""
        scores = self.scores(emissions, mask)
        return viterbi(scores) if emissions.shape[1] else mask.long()

    def scores(self, emissions: Float[Tensor, "b t k"], mask: Bool[Tensor, "b t"]) -> Scores:
        """The scores of a batch, checked; emissions in the precision of the transitions."""
        if emissions.shape[-1] != self.tags:
            raise InvalidInput(f"expected emissions of {self.tags} tags, not {emissions.shape[-1]}")
        check_key_mask(mask, emissions)
        if not torch.compiler.is_compiling() and bool((mask[:, 1:] & ~mask[:, :-1]).any()):
            raise InvalidInput("expected a mask that is True at the first positions of each sequence, without gaps")
        return Scores(emissions.to(self.transitions.dtype), self.transitions, self.start, self.end, mask)
