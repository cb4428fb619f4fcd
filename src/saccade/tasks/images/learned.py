"""What a run keeps of its images, so that it reads others without them."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from saccade.core.errors import InvalidInput


class Learned(NamedTuple):
    """Classes, sizes and normalisation."""

    classes: tuple[str, ...]
    size: int
    channels: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def checked(kept: Learned, path: Path) -> Learned:
    """What a run kept, if it can be used.

    Raises:
        InvalidInput: it was changed.
    """

    def numbers(found: Any, least: float) -> bool:
        return (
            isinstance(found, tuple)
            and len(found) == kept.channels
            and all(isinstance(one, int | float) and math.isfinite(one) and one > least for one in found)
        )

    named = isinstance(kept.classes, tuple) and kept.classes and all(isinstance(one, str) for one in kept.classes)
    sizes = type(kept.size) is int and kept.size > 0 and kept.channels in (1, 3)
    if not (named and sizes and numbers(kept.mean, -math.inf) and numbers(kept.deviation, 0)):
        raise InvalidInput(f"{path} is damaged: expected classes, a size, 1 or 3 channels, and their moments")
    return kept


def moments(images: UInt8[Tensor, "n c y x"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the standard deviation of each channel's pixels, from 0 to 1; the latter at least 1/255."""
    values, mean, deviation = torch.arange(256, dtype=torch.float64) / 255, [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten().int(), minlength=256).double()
        first = float((counts * values).sum() / counts.sum())
        mean.append(first)
        deviation.append(max(float((counts * (values - first) ** 2).sum() / counts.sum()) ** 0.5, 1 / 255))
    return tuple(mean), tuple(deviation)
