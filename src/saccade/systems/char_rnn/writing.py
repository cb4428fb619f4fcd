"""Writing on: each symbol is drawn from the net's distribution and is the next input.

p(x) ~ exp(logit(x) / temperature);   temperature 0 takes the likeliest
"""

import zlib
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def sample(logits: Float[Tensor, "b v"], temperature: float, uniform: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Draw a symbol of each row by the inverse of its distribution function, from a uniform number from 0 to 1."""
    if temperature == 0:
        return logits.argmax(-1)
    shifted = (
        logits - logits.amax(-1, keepdim=True)
    ).double() / temperature  # before the division, which could overflow
    sums = shifted.exp().cumsum(-1)
    return (sums <= uniform.double()[:, None] * sums[:, -1:]).sum(-1).clamp(max=logits.shape[-1] - 1)


def write(
    model: Any,
    symbols: Int[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    length: int,
    temperature: float,
    seeds: Sequence[Any],
) -> Int[Tensor, "b n"]:
    """The symbols that continue each text. The draws of a row come from its seed, whatever the rest of the batch.

    Args:
        model: the net.
        symbols: the beginnings, of one symbol at least.
        mask: False at padding.
        length: symbols to write.
        temperature: of the draws; 0 takes the likeliest symbol.
        seeds: of each row, any value.
    """
    uniform = torch.stack([draws(seed, length) for seed in seeds]).to(symbols.device)
    logits, state = model(symbols, mask)
    last = (mask.sum(1) - 1)[:, None, None].expand(-1, 1, logits.shape[-1])
    row, found = logits.gather(1, last)[:, 0], []
    for t in range(length):
        found.append(sample(row, temperature, uniform[:, t]))
        if t + 1 < length:
            row, state = model.step(found[-1], state)
    return torch.stack(found, 1)


def draws(seed: Any, count: int) -> Float[Tensor, " n"]:
    """Uniform numbers from a seed of any kind."""
    generator = torch.Generator().manual_seed(zlib.crc32(repr(seed).encode()))
    return torch.rand(count, generator=generator, dtype=torch.float64)
