"""Random numbers that belong to an example: functions of a seed, a split, a row and an epoch, never of the batch.

A generator with a state gives an example different numbers in another batch. Here the numbers of a whole batch are
hashes of counters (SplitMix64: Steele, Lea & Flood 2014, 10.1145/2660193.2660195), computed at once.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

Keys = NDArray[np.uint64]
"""A key for each example of a batch."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # the odd number next to 2^64 divided by the golden ratio


def mixed(numbers: Keys) -> Keys:
    """SplitMix64's mixing function: a permutation of the 64-bit numbers."""
    found = numbers ^ (numbers >> np.uint64(30))
    found *= np.uint64(0xBF58476D1CE4E5B9)
    found ^= found >> np.uint64(27)
    found *= np.uint64(0x94D049BB133111EB)
    found ^= found >> np.uint64(31)
    return found


def keys_of(seed: int, split: Sequence[int], rows: Sequence[int], epochs: Sequence[int]) -> Keys:
    """The keys of examples; splits, rows and epochs are not negative."""
    found = np.full(len(rows), seed, np.uint64)
    for part in (split, rows, epochs):
        found = mixed(found + GOLDEN) + np.array(part, np.uint64)
    return mixed(found + GOLDEN)


def uniform(keys: Keys, count: int, stream: int = 0) -> Float[Tensor, "b n"]:
    """Numbers in [0, 1) in float64, a row for each key.

    Args:
        keys: the examples.
        count: the numbers of each.
        stream: numbers of different streams are independent.
    """
    first = mixed(keys ^ mixed(np.full(1, stream, np.uint64) + GOLDEN))
    steps = np.arange(1, count + 1, dtype=np.uint64) * GOLDEN
    drawn = mixed(first[:, None] + steps) >> np.uint64(11)  # float64 has 53 bits
    return torch.from_numpy(drawn.astype(np.float64) * 2.0**-53)


def whole(uniforms: Float[Tensor, "*b"], count: int | Tensor) -> Int[Tensor, "*b"]:
    """Numbers from 0 to count - 1, made from numbers in [0, 1)."""
    return (uniforms * count).long()


def normal(keys: Keys, count: int, stream: int = 0) -> Float[Tensor, "b n"]:
    """Standard normal numbers in float64 (Box & Muller 1958), a row for each key."""
    pairs = uniform(keys, 2 * count, stream)
    radius = (-2 * (1 - pairs[:, :count]).log()).sqrt()  # 1 - u is never 0
    return radius * (2 * torch.pi * pairs[:, count:]).cos()
