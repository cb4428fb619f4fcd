"""Draws of symbols from the distribution of a model, reproducible whatever else is in the batch.

p(x) ~ exp(logit(x) / temperature);   temperature 0 takes the likeliest
top-k: only the k likeliest (Fan et al. 2018, arXiv:1805.04833)
top-p: only the smallest set of likeliest symbols that has a probability of p (Holtzman et al. 2020,
       arXiv:1904.09751, equation 2), at the temperature
"""

import zlib
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


def sample(
    logits: Float[Tensor, "b v"],
    temperature: float,
    uniform: Float[Tensor, " b"],
    top_k: int | None = None,
    top_p: float = 1.0,
) -> Int[Tensor, " b"]:
    """Draw a symbol of each row by the inverse of its distribution function, from a uniform number from 0 to 1."""
    if temperature == 0:
        return logits.argmax(-1)
    sums = weights(logits, temperature, top_k, top_p).cumsum(-1)
    return (sums <= uniform.double()[:, None] * sums[:, -1:]).sum(-1).clamp(max=logits.shape[-1] - 1)


def weights(
    logits: Float[Tensor, "b v"], temperature: float, top_k: int | None = None, top_p: float = 1.0
) -> Float[Tensor, "b v"]:
    """What the probabilities are proportional to, in float64; 0 for symbols that are not drawn.

    Symbols that are as likely as the last one of the k, or of the p, are kept too.
    """
    # subtracted before the division, which could overflow
    found = ((logits - logits.amax(-1, keepdim=True)).double() / temperature).exp()
    if top_k is not None and top_k < logits.shape[-1]:
        found = found.masked_fill(found < found.topk(top_k).values[:, -1:], 0.0)
    if top_p < 1:
        ordered = found.sort(-1, descending=True).values
        before = ordered.cumsum(-1) - ordered
        kept = (before < top_p * found.sum(-1, keepdim=True)).sum(-1, keepdim=True).clamp(min=1)
        found = found.masked_fill(found < ordered.gather(-1, kept - 1), 0.0)
    return found


def draws(seed: Any, count: int) -> Float[Tensor, " n"]:
    """Uniform numbers from a seed of any kind."""
    generator = torch.Generator().manual_seed(zlib.crc32(repr(seed).encode()))
    return torch.rand(count, generator=generator, dtype=torch.float64)
