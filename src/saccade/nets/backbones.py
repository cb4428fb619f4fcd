"""The convolutional networks of images as a configuration chooses them: a record for each, with its options."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from saccade.core.config import NAMED, config
from saccade.nets.densenet import DenseNet
from saccade.nets.inception import Inception
from saccade.nets.resnet import Gate, ResNet, Spatial, Stem
from saccade.nets.stochastic_depth import StochasticDepth


@config
class Residual:
    """A residual network (He et al. 2016)."""

    name: Literal["resnet"] = "resnet"
    """The kind of network."""
    depth: Literal[18, 20, 26, 32, 34, 38, 44, 50, 56, 101, 110, 152] = 20
    """Layers: 18, 26, 34, 38, 50, 101 or 152 for large images; 20, 32, 44, 56 or 110 for small ones, as of CIFAR."""
    stochastic_depth: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that an image skips the last block in training; it rises from 0 at the first (Huang et al. 2016,
    arXiv:1603.09382)."""
    width: Annotated[float, Field(gt=0)] = 1.0
    """Times the channels of every stage, rounded."""


@config
class Dense:
    """A densely connected network (Huang et al. 2017), for images of at least 29 x 29 pixels."""

    name: Literal["densenet"] = "densenet"
    depth: Literal[121, 161, 169, 201] = 121
    """Layers."""


@config
class InceptionV3:
    """Inception v3 (Szegedy et al. 2016), for images of at least 75 x 75 pixels."""

    name: Literal["inception"] = "inception"


Backbone = Annotated[Residual | Dense | InceptionV3, Field(discriminator="name"), NAMED]


def backbone(
    options: Residual | Dense | InceptionV3, channels: int, classes: int, gate: Gate | None = None
) -> ResNet | DenseNet | Inception:
    """The network of a configuration.

    Args:
        options: which one.
        channels: channels of the images.
        classes: number of logits.
        gate: makes the module in the network's socket for gates.
    """
    match options:
        case Residual():
            return residual(options, channels, classes, gate=gate)
        case Dense(depth=depth):
            return DenseNet(depth, classes, channels=channels, gate=gate)
        case InceptionV3():
            return Inception(classes, channels=channels, gate=gate)


def residual(
    options: Residual,
    channels: int,
    classes: int,
    *,
    gate: Gate | None = None,
    between: Gate | None = None,
    spatial: Mapping[int, Spatial] | None = None,
    stem: Stem | None = None,
) -> ResNet:
    """A residual network, with what its sockets make; see `ResNet`."""
    rate = options.stochastic_depth
    drop = (lambda depth: StochasticDepth(rate * depth)) if rate else None
    return ResNet(
        options.depth, classes, channels=channels, gate=gate, between=between, spatial=spatial, stem=stem, drop=drop,
        width=options.width,
    )  # fmt: skip
