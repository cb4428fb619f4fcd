"""Labelled images of a source: its classes, its splits, and the pixels that are read once they are needed."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.tasks.images.pixels import fitted, recoloured

LARGEST = 8 * 2**30
"""The most bytes of pixels of a split that are held in memory. Those of a larger one are read for each batch."""


class Split(NamedTuple):
    """The images of a split."""

    labels: Int[Tensor, " n"]
    pixels: Callable[[Int[Tensor, " m"]], UInt8[Tensor, "m c y x"]]
    """The pixels of these images, scaled and in the channels that were asked for."""


class Data(NamedTuple):
    """What a source contains."""

    name: str
    """Its name, with what must be said beside each number."""
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    """"train", and perhaps "validation" and "test"."""


def in_memory(images: UInt8[Tensor, "n c y x"], labels: Int[Tensor, " n"], size: int | None, channels: int) -> Split:
    """A split of images that are in memory already."""

    def pixels(rows: Tensor) -> Tensor:
        found = recoloured(images[rows], channels)
        if size is None or found.shape[2:] == (size, size):
            return found.contiguous()
        return torch.stack([fitted(image, size) for image in found])

    return Split(labels, pixels)


def fits(split: Split) -> bool:
    """Whether the pixels of all images of a split are few enough to be held in memory."""
    return split.pixels(torch.arange(1)).numel() * len(split.labels) <= LARGEST


def completed(data: Data, held_out: float, seed: int) -> Data:
    """The three splits; a missing one is taken from the training images, the same share of each class.

    Raises:
        InvalidInput: a class has too few training images.
    """
    splits, train = dict(data.splits), data.splits["train"]
    rows = torch.arange(len(train.labels))
    for number, name in enumerate(("validation", "test")):
        if name not in splits:
            taken = portion(train.labels[rows], held_out, seed + 7919 * number)
            splits[name] = part(train, rows[taken])
            left = torch.ones(len(rows), dtype=torch.bool)
            left[taken] = False
            rows = rows[left]
            if len(train.labels[rows].unique()) < len(train.labels.unique()):
                raise InvalidInput(
                    f"{data.name}: a class has too few training images to hold some out for {name}; add some, or a "
                    f"{name} split"
                )
    splits["train"] = part(train, rows)
    return data._replace(splits=splits)


def portion(labels: Int[Tensor, " n"], share: float, seed: int) -> Int[Tensor, " m"]:
    """Rows in ascending order: of each class this share, rounded, at least one, but not all unless the share is 1."""
    if share == 1:
        return torch.arange(len(labels))
    generator = torch.Generator().manual_seed(seed)
    found = []
    for label in labels.unique():
        rows = (labels == label).nonzero().flatten()
        count = min(max(1, round(share * len(rows))), max(1, len(rows) - 1))
        found.append(rows[torch.randperm(len(rows), generator=generator)[:count]])
    return torch.cat(found).sort().values


def part(split: Split, rows: Int[Tensor, " m"]) -> Split:
    """Some of the images of a split."""
    return Split(split.labels[rows], lambda asked: split.pixels(rows[asked]))
