"""Augmentation of training images, drawn anew for each batch from its generator.

    light   a random crop of the image with a border of 4 black pixels, and a flip    He et al. 2016, arXiv:1512.03385
    class   shifts by up to a tenth of a side, the edge repeated, and a flip
    elite   the crop and the flip; two random operations, RandAugment     Cubuk et al. 2020, arXiv:1909.13719;
            a rectangle of noise                                          Zhong et al. 2020, arXiv:1708.04896;
            mixup or cutmix           Zhang et al. 2018, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899

`elite` has the settings of DeiT (Touvron et al. 2021, arXiv:2012.12877, table 9), which crops small images as `light`.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Int, UInt8
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from saccade.core.config import NAMED, config

Probability = Annotated[float, Field(ge=0, le=1)]
Concentration = Annotated[float, Field(ge=0, le=100)]


@config
class Unaugmented:
    """The images as they are."""

    name: Literal["none"] = "none"


@config
class Light:
    """A random crop and a flip."""

    name: Literal["light"] = "light"
    padding: Annotated[int, Field(ge=0, le=64)] = 4
    """Black pixels on each side, of which as many are cut off again at random."""
    flip: bool = True
    """Mirror half of the images; never digits."""


@config
class Shifted:
    """Shifts and a flip, with the edge repeated."""

    name: Literal["class"] = "class"
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """The farthest shift along each axis, as a share of the side."""
    flip: bool = True
    """Mirror half of the images; never digits."""


@config
class Elite:
    """DeiT's augmentation: crop, flip, RandAugment, erasing, mixup and cutmix."""

    name: Literal["elite"] = "elite"
    padding: Annotated[int, Field(ge=0, le=64)] = 4
    """Black pixels on each side, of which as many are cut off again at random."""
    flip: bool = True
    """Mirror half of the images; never digits."""
    operations: Annotated[int, Field(ge=0, le=10)] = 2
    """Operations of RandAugment on an image, each with probability 1/2."""
    magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0
    """Mean strength of the operations, of 10; its standard deviation is 0.5."""
    erasing: Probability = 0.25
    """Share of the images in which a rectangle becomes noise."""
    mixup: Concentration = 0.8
    """Both parameters of the beta distribution from which a batch's share of the second image is drawn; 0: no mixup."""
    cutmix: Concentration = 1.0
    """As `mixup`, for the area of a rectangle of the second image; 0: no cutmix. With both, half of the batches have
    each."""


Augmentation = Annotated[Unaugmented | Light | Shifted | Elite, Field(discriminator="name"), NAMED]


def moved(
    images: UInt8[Tensor, "b c y x"],
    record: Unaugmented | Light | Shifted | Elite,
    generator: torch.Generator,
    mirror: bool,
) -> UInt8[Tensor, "b c y x"]:
    """The images shifted and flipped.

    Args:
        images: of one batch.
        record: how far, and whether flipped.
        generator: what it is drawn from.
        mirror: whether images of this kind may be flipped.
    """
    if isinstance(record, Unaugmented):
        return images
    count, sides = len(images), images.shape[2:]
    most = [int(record.shift * side) if isinstance(record, Shifted) else record.padding for side in sides]
    down, right = (torch.randint(-far, far + 1, (count,), generator=generator) for far in most)
    flipped = torch.rand(count, generator=generator) < (0.5 if record.flip and mirror else 0.0)
    return shifted(images, down, right, flipped, edge=isinstance(record, Shifted))


def shifted(
    images: UInt8[Tensor, "b c y x"], down: Int[Tensor, " b"], right: Int[Tensor, " b"], flipped: Bool[Tensor, " b"],
    edge: bool,
) -> UInt8[Tensor, "b c y x"]:  # fmt: skip
    """The images, first flipped, then moved by whole pixels.

    Args:
        images: of one batch.
        down: rows by which each image moves down.
        right: columns by which each image moves to the right.
        flipped: which images are mirrored.
        edge: beyond the image, repeat its edge; else black.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height) - down[:, None]
    columns = torch.arange(width) - right[:, None]
    columns = torch.where(flipped[:, None], width - 1 - columns, columns)
    if edge:
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    else:  # one ring of black pixels, which is all that lies outside
        images = F.pad(images, (1, 1, 1, 1))
        rows, columns = rows.clamp(-1, height) + 1, columns.clamp(-1, width) + 1
    of = torch.arange(len(images))[:, None, None]
    found: Tensor = images.permute(0, 2, 3, 1)[of, rows[:, :, None], columns[:, None]]
    return found.permute(0, 3, 1, 2).contiguous()
