"""Composing: each frame is drawn from the net's distribution and is the next input."""

import zlib
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saccade.systems.music_rnn.model import MusicRNN


def compose(
    model: MusicRNN,
    frames: Float[Tensor, "b t v"],
    mask: Bool[Tensor, "b t"],
    length: int,
    temperature: float,
    seeds: Sequence[Any],
) -> Float[Tensor, "b n v"]:
    """The frames that continue each theme. The draws of a row come from its seed, whatever the rest of the batch.

    Args:
        model: the net.
        frames: the themes; one of no frames is composed from the beginning.
        mask: False at padding.
        length: frames to compose.
        temperature: of the draws; 0 takes each note that is more likely than not.
        seeds: of each row, any value.
    """
    uniform = torch.stack([draws(seed, length, model.notes) for seed in seeds]).to(frames.device)
    # the first input is the silence before a piece, so a theme of t frames is read with t + 1 inputs
    inputs = torch.cat([frames.new_zeros(len(frames), 1, model.notes), frames], 1).to(model.dtype)
    read = torch.cat([mask.new_ones(len(mask), 1), mask], 1)
    states, after = model.recurrent(inputs, read)
    last = (read.sum(1) - 1)[:, None, None].expand(-1, 1, states.shape[-1])
    state, found = states.gather(1, last)[:, 0], []
    for t in range(length):
        found.append(model.output.sample(state, temperature, uniform[:, t]))
        if t + 1 < length:
            state, after = model.step(found[-1], after)
    return torch.stack(found, 1)


def draws(seed: Any, *shape: int) -> Float[Tensor, "..."]:
    """Uniform numbers from a seed of any kind."""
    generator = torch.Generator().manual_seed(zlib.crc32(repr(seed).encode()))
    return torch.rand(shape, generator=generator, dtype=torch.float64)
