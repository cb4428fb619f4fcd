"""Writing on: each symbol is drawn from the net's distribution and is the next input."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from saccade.nets.sampling import draws, sample


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
