"""Logits kept as a product: the features, and the matrix that projects them onto a vocabulary.

The loss of a batch of sequences needs each logit once. They are computed in blocks of rows, turned into their gradient
in place and multiplied back, so (b t v) is never in memory, and the blocks stay in the cache.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.core.products import by_onednn, linear, over_rows
from saccade.nets.largest import largest

ROWS = 512


class Scratch:
    """Memory for logits that calls reuse: allocating new pages costs more than the computation."""

    def __init__(self) -> None:
        self._kept: Tensor | None = None

    def matrix(self, rows: int, columns: int, like: Tensor, dtype: torch.dtype) -> Float[Tensor, "rows columns"]:
        """An uninitialised tensor of that shape and dtype, on the device of `like`."""
        kept, wanted = self._kept, (columns, dtype, like.device)
        if kept is None or len(kept) < rows or (kept.shape[1], kept.dtype, kept.device) != wanted:
            self._kept = kept = like.new_empty(rows, columns, dtype=dtype)
        return kept[:rows]


class Projection(NamedTuple):
    """logits = weight features + bias, over the last axis of the features."""

    features: Float[Tensor, "*b d"]
    weight: Float[Tensor, "v d"]
    bias: Float[Tensor, " v"] | None = None

    def logits(self) -> Float[Tensor, "*b v"]:
        return linear(self.features, self.weight, self.bias)

    def log_probs(self) -> Float[Tensor, "*b v"]:
        """log softmax of the logits, in at least float32, since bfloat16 would give a search many ties."""
        logits = self.logits()
        return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))

    @torch.no_grad()
    def rewards(self, targets: Int[Tensor, "*b"], ignore: int, label_smoothing: float = 0.0) -> Float[Tensor, "*b"]:
        """The log-probability of each target; 0 where the target is `ignore`. Without a gradient.

        Their mean over the targets that are not ignored is -`cross_entropy`. Computed in blocks of rows.
        """
        features, wanted = self.features.flatten(0, -2), targets.flatten()
        kept = wanted != ignore
        found = []
        for rows, symbols in zip(features.split(ROWS), wanted.masked_fill(~kept, 0).split(ROWS), strict=True):
            log_probs = Projection(rows, self.weight, self.bias).log_probs()
            reward = log_probs.gather(1, symbols[:, None])[:, 0]
            if label_smoothing:
                counts = torch.ones(len(self.weight), dtype=torch.bool, device=self.weight.device)
                if 0 <= ignore < len(counts):
                    counts[ignore] = False
                reward = (1 - label_smoothing) * reward + label_smoothing * log_probs[:, counts].mean(1)
            found.append(reward)
        return torch.cat(found).masked_fill(~kept, 0.0).view(targets.shape)

    def largest(self, count: int, scratch: Scratch | None = None) -> tuple[Float[Tensor, "n c"], Int[Tensor, "n c"]]:
        """The `count` largest log-probabilities of each row, in order, with their symbols; features (n, d).

        A search passes the same scratch to every step.
        """
        dtype, rows = self._dtype(), len(self.features)
        at_once = min(ROWS, rows) if self.features.device.type == "cpu" else rows
        matrix = self.weight.to(dtype)
        wide = torch.promote_types(dtype, torch.float32)
        held = (scratch or Scratch()).matrix(at_once, len(self.weight), matrix, wide)
        values, symbols = [], []
        for block in self.features.to(dtype).split(at_once):
            logits = multiply(block, matrix, self.bias, held[: len(block)])
            found = largest(torch.log_softmax(logits, 1, out=logits), count)  # in place, so it stays in the cache
            values.append(found[0])
            symbols.append(found[1])
        return torch.cat(values), torch.cat(symbols)

    def cross_entropy(self, targets: Int[Tensor, "*b"], ignore: int, label_smoothing: float = 0.0) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats of the targets other than `ignore`.

        Smoothing mixes the target with the uniform distribution over all symbols (Szegedy et al. 2016,
        arXiv:1512.00567) except `ignore`, since padding is never an answer. If `ignore` is not a symbol, the result is
        that of `torch`. Differentiable once.

        A matrix that is split over processes by symbols gives the same, without blocks and without smoothing.

        Raises:
            InvalidInput: smoothing with a matrix that is split.
        """
        if hasattr(self.weight, "device_mesh"):
            return self._split_cross_entropy(targets.flatten(), ignore, label_smoothing)
        rows, dtype = self.features.flatten(0, -2), self._dtype()
        loss: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
            rows, self.weight, self.bias, targets.flatten(), ignore, label_smoothing, dtype, torch.is_grad_enabled()
        )
        return loss

    def _split_cross_entropy(self, targets: Int[Tensor, " n"], ignore: int, smoothing: float) -> Tensor:
        """By torch's own operations, which the processes of a group compute together, each for its symbols."""
        if smoothing:
            raise InvalidInput("label smoothing cannot be computed over symbols that are split; set it to 0")
        logits = linear(self.features.flatten(0, -2), self.weight, self.bias)
        total = F.cross_entropy(logits, targets, ignore_index=ignore, reduction="sum")
        return total / (targets != ignore).sum().clamp(min=1)

    def _dtype(self) -> torch.dtype:
        """The dtype of the products: that of the features, or autocast's, which as in torch does not change float64."""
        device = self.features.device.type
        narrow = device != "meta" and torch.is_autocast_enabled(device) and self.features.dtype != torch.float64
        return torch.get_autocast_dtype(device) if narrow else self.features.dtype


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        ignore: int,
        smoothing: float,
        dtype: torch.dtype,
        learn: bool,
    ) -> Tensor:
        keep = targets != ignore
        share = keep.to(weight.dtype) / keep.sum().clamp(min=1)  # weight of each row in the mean
        targets = targets.masked_fill(~keep, 0)[:, None]
        learn = learn and any(ctx.needs_input_grad)
        own = None if bias is None else torch.zeros_like(bias)
        gradients: list[Any] = [torch.empty_like(features), torch.zeros_like(weight), own] if learn else []
        loss = share.new_zeros(())
        left_out = ignore if 0 <= ignore < len(weight) else None
        uniform = smoothing / (len(weight) - (left_out is not None))
        held = weight.new_empty(
            min(ROWS, len(features)), len(weight)
        )  # one buffer: allocating new pages costs more than the sums
        with without_autocast(features.device.type):
            inputs, matrix = features.to(dtype), weight.to(dtype)
            for first in range(0, len(features), ROWS):
                rows = slice(first, first + ROWS)
                target, part = targets[rows], share[rows, None]
                logits = multiply(inputs[rows], matrix, bias, held[: len(target)])
                log_probs = torch.log_softmax(logits, 1, out=logits)  # in place: new pages cost as much as the sums
                # an ignored row may contain -inf, and -inf times 0 is NaN
                left = part == 0
                loss -= (1 - smoothing) * (log_probs.gather(1, target).masked_fill_(left, 0.0) * part).sum()
                if smoothing:
                    if left_out is None:
                        total = log_probs.sum(1, True)
                    else:  # in two parts, since -inf - -inf is NaN
                        total = log_probs[:, :left_out].sum(1, True) + log_probs[:, left_out + 1 :].sum(1, True)
                    loss -= uniform * (total.masked_fill_(left, 0.0) * part).sum()
                if learn:
                    # softmax - ((1 - smoothing) one-hot + uniform), times the row's weight in the mean
                    slope = log_probs.exp_()
                    if smoothing:
                        slope -= uniform
                        if left_out is not None:
                            slope[:, left_out] += uniform
                    slope.mul_(part).scatter_add_(1, target, part * (smoothing - 1))
                    if bias is not None:
                        gradients[2] += slope.sum(0)
                    slope = slope.to(dtype)
                    gradients[0][rows] = linear(slope, matrix.mT)
                    if dtype == weight.dtype and not by_onednn(slope.mT, inputs[rows].mT):
                        gradients[1].addmm_(slope.mT, inputs[rows])
                    else:
                        gradients[1] += over_rows(slope, inputs[rows])
        ctx.gradients = gradients
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError("the gradient of this cross-entropy was already computed; compute the loss again")
        # in place, so only once: the matrix's gradient is the largest tensor of an update
        gradients, ctx.gradients = ctx.gradients, None
        scaled = [None if gradient is None else gradient.mul_(slope) for gradient in gradients]
        return *scaled, None, None, None, None, None


def without_autocast(device: str) -> AbstractContextManager[object]:
    """Within it, nothing is cast; autocast does not know the meta device."""
    return nullcontext() if device == "meta" else torch.autocast(device, enabled=False)


def multiply(rows: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """rows weight^T + bias, written to `out`, whose dtype may be wider; or, if oneDNN is faster, to new memory."""
    if rows.dtype != out.dtype:
        out.copy_(rows @ weight.mT)
        return out if bias is None else out.add_(bias)
    if by_onednn(rows, weight, bias):
        return linear(rows, weight, bias)
    if bias is None:
        return torch.mm(rows, weight.mT, out=out)
    return torch.addmm(bias, rows, weight.mT, out=out)
