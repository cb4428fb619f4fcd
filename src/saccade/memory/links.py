"""Temporal links between memory slots. Graves et al. 2016, doi:10.1038/nature20101, Methods.

    L(i, j) = (1 - ww(i) - ww(j)) L'(i, j) + ww(i) p'(j),  L(i, i) = 0         i was written just after j
    p       = (1 - sum ww) p' + ww                                             how much a slot was the last one written

ww write weights, ' the step before; L w and L^T w move read weights w forward and backward in the order of writing.
b batch, h read heads, n slots. Sharpened, after Csordas & Schmidhuber 2019, arXiv:1904.10278, they are raised to an
emitted power and normalised.
"""

import torch
from jaxtyping import Float
from torch import Tensor

SMALL = 1e-4
"""A weaker link is none: sharpening must not make a distribution of rounding errors (1e-6 did, in float32)."""


def link_after(
    link: Float[Tensor, "b n n"], write_weights: Float[Tensor, "b n"], precedence: Float[Tensor, "b n"]
) -> Float[Tensor, "b n n"]:
    """L: row i holds which slots were written just before slot i."""
    later, earlier = write_weights[:, :, None], write_weights[:, None]
    linked = (1 - later - earlier) * link + later * precedence[:, None]
    return linked * (1 - torch.eye(link.shape[1], dtype=link.dtype, device=link.device))


def precedence_after(precedence: Float[Tensor, "b n"], write_weights: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """p: how much each slot was the last one written."""
    return (1 - write_weights.sum(-1, keepdim=True)) * precedence + write_weights


def sharpen_links(weights: Float[Tensor, "b h n"], sharpness: Float[Tensor, "b h"]) -> Float[Tensor, "b h n"]:
    """Weights to the power of the sharpness, normalised; weights without a link stay 0."""
    relative = weights / (weights.amax(-1, keepdim=True) + SMALL)
    powers = (sharpness[..., None] * relative.clamp(min=torch.finfo(weights.dtype).tiny).log()).exp()
    return powers / (powers.sum(-1, keepdim=True) + SMALL)
