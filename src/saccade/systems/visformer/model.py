"""Visformer for a classification of images. Chen et al. 2021, arXiv:2104.12533; the network is that of
`nets.visformer`."""

from typing import Annotated, Any

from pydantic import Field

from saccade.core.config import Parts, Size, config
from saccade.nets.visformer import Visformer

Reduction = Annotated[int, Field(ge=1, le=64)]


@config
class VisformerConfig:
    """A Visformer."""

    stem_channels: Size = 16
    """Channels of the first convolution, 7 x 7."""
    stem_stride: Reduction = 2
    """Its stride."""
    patches: tuple[Reduction, Reduction, Reduction] = (1, 2, 2)
    """By how much the maps are reduced before each stage."""
    model_size: Size = 64
    """Channels of the second stage; the first has half, the third twice as many."""
    layers: tuple[Parts, Parts, Parts] = (2, 1, 1)
    """Blocks of each stage: the first convolves, the others attend."""
    heads: Parts = 2
    """Attention heads of a block."""
    groups: Parts = 8
    """Groups of the 3 x 3 convolutions of the first stage."""
    stochastic_depth: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a branch of the last block is dropped in training; 0 at the first block, in equal steps."""


def network(config: VisformerConfig, task: Any) -> Visformer:
    """The network for the images of a task.

    Raises:
        InvalidInput: sizes that do not fit each other or the images.
    """
    return Visformer(
        len(task.classes), image_size=task.side, channels=task.channels, stem_channels=config.stem_channels,
        stem_stride=config.stem_stride, patches=config.patches, model_size=config.model_size, layers=config.layers,
        heads=config.heads, groups=config.groups, stochastic_depth=config.stochastic_depth,
    )  # fmt: skip
