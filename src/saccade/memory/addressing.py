"""Where a Turing machine's heads look. Graves, Wayne & Danihelka 2014, arXiv:1410.5401, section 3.3, equations 5 to 9.

    c(i)  = softmax_i(beta cos(k, M(i)))             content: key k, key strength beta >= 0
    g(i)  = g c(i) + (1 - g) w'(i)                   interpolation with the previous weights w', gate g in (0, 1)
    s(i)  = sum_j g(j) s(i - j mod N)                circular convolution with a distribution s over shifts
    w(i)  = s(i)^gamma / sum_j s(j)^gamma            sharpening, gamma >= 1, in log space

M memory of N slots; b batch, h heads, n slots, m slot width, s shifts. Each stage maps a distribution over the slots
to another. The shifts are -r ... r, in this order: all weight on the last one moves every head r slots forward.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput

SHORTEST = 1e-2
"""A shorter key or slot has no direction: its cosine goes to 0 with its length. The slope of a cosine is 1 over the
length, so with the paper's own (no lower limit) a head that looks at nearly empty slots gets gradients of any size, and
training is interrupted by spikes of the loss (seen with 1e-6 and 1e-3, not with this)."""


class Address(NamedTuple):
    """What the controller emits for a head's address: k, beta, g, s and gamma."""

    key: Float[Tensor, "b h m"]
    strength: Float[Tensor, "b h"]
    gate: Float[Tensor, "b h"]
    shift: Float[Tensor, "b h s"]
    sharpness: Float[Tensor, "b h"]


class Stages(NamedTuple):
    """The weights after each stage."""

    content: Float[Tensor, "b h n"]
    interpolated: Float[Tensor, "b h n"]
    moved: Float[Tensor, "b h n"]
    sharpened: Float[Tensor, "b h n"]


def direction(vectors: Float[Tensor, "*b m"]) -> Float[Tensor, "*b m"]:
    """The vectors scaled to length 1, those shorter than `SHORTEST` by 1 over it."""
    return F.normalize(vectors, dim=-1, eps=SHORTEST)


def content_weights(
    memory: Float[Tensor, "b n m"],
    key: Float[Tensor, "b h m"],
    strength: Float[Tensor, "b h"],
    mask: Float[Tensor, "b h m"] | None = None,
) -> Float[Tensor, "b h n"]:
    """Softmax over the slots of the strength times the cosine with the key. A vector of zeros has the cosine 0.

    A mask multiplies the key and every slot before they are compared (Csordas & Schmidhuber 2019, arXiv:1904.10278).
    """
    if mask is not None:
        masked = direction(memory[:, None] * mask[:, :, None])
        return (masked @ (strength[..., None] * direction(key * mask))[..., None])[..., 0].softmax(-1)
    return (strength[..., None] * direction(key) @ direction(memory).mT).softmax(-1)


def interpolate(
    content: Float[Tensor, "b h n"], previous: Float[Tensor, "b h n"], gate: Float[Tensor, "b h"]
) -> Float[Tensor, "b h n"]:
    """A gate of 1 takes the content weights, a gate of 0 the previous weights."""
    return torch.lerp(previous, content, gate[..., None])


def circular_convolution(weights: Float[Tensor, "b h n"], shift: Float[Tensor, "b h s"]) -> Float[Tensor, "b h n"]:
    """Weights moved by each shift, averaged by the distribution over shifts; what leaves one end enters the other."""
    size, reach = weights.shape[-1], check_shifts(shift.shape[-1], weights.shape[-1])
    around = torch.cat([weights[..., size - reach :], weights, weights[..., :reach]], -1)
    # a convolution runs over the weights in the order opposite to that of the shifts
    return (around.unfold(-1, shift.shape[-1], 1) @ shift.flip(-1)[..., None])[..., 0]


def sharpen(weights: Float[Tensor, "*b n"], sharpness: Float[Tensor, " *b"]) -> Float[Tensor, "*b n"]:
    """Weights to the power of the sharpness, normalised to sum to 1. Zeros stay (nearly) 0 and get no gradient."""
    logs = weights.clamp(min=torch.finfo(weights.dtype).tiny).log()
    # a shift of all logs changes nothing; with the largest at 0 no sharpness is too large
    logs = logs - logs.detach().amax(-1, keepdim=True)
    return (sharpness[..., None] * logs).softmax(-1)


def stages(memory: Float[Tensor, "b n m"], previous: Float[Tensor, "b h n"], emitted: Address) -> Stages:
    """The weights after each of the four stages, for all heads at once."""
    content = content_weights(memory, emitted.key, emitted.strength)
    gated = interpolate(content, previous, emitted.gate)
    moved = circular_convolution(gated, emitted.shift)
    return Stages(content, gated, moved, sharpen(moved, emitted.sharpness))


def address(
    memory: Float[Tensor, "b n m"], previous: Float[Tensor, "b h n"], emitted: Address
) -> Float[Tensor, "b h n"]:
    """The weights after all four stages."""
    return stages(memory, previous, emitted).sharpened


def check_shifts(shifts: int, slots: int) -> int:
    """The largest of a number of shifts, which are one slot apart.

    Raises:
        InvalidInput: an even number of shifts, which has no middle; more shifts than slots.
    """
    if shifts < 1 or shifts % 2 == 0:
        raise InvalidInput(f"shifts must be an odd number (as many forward as back, and none), not {shifts}")
    if shifts > slots:
        raise InvalidInput(f"{shifts} shifts are wider than a memory of {slots} slots; shifts may be at most slots")
    return shifts // 2
