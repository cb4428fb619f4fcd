"""Densely connected networks. Huang et al. 2017, arXiv:1608.06993.

    x_l = H_l([x_0, x_1, ..., x_(l-1)])                                                              equation 2
    H_l = conv 3 x 3 of relu BN conv 1 x 1 of relu BN, to 4 k and then to k channels                 DenseNet-B
    transition = mean over 2 x 2 of conv 1 x 1 of relu BN, to half the channels                      DenseNet-C

[...] joins channels, and k is the growth rate.

Hu et al. 2018 (arXiv:1709.01507) print no place for a gate in these networks. Here, after the example of residual
networks, it is on H_l before it is joined, and on the result of a transition.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.core.errors import InvalidInput
from saccade.nets.convolution import check_images, convolution, laid_out

LEAST = 29  # pixels of an image's side, of which the last dense block has one
BOTTLENECK = 4  # channels of the 1 x 1 convolution, in growth rates


class Form(NamedTuple):
    """Layers of each block, the growth rate k, and channels of the first convolution."""

    layers: tuple[int, ...]
    growth: int = 32
    width: int = 64


FORMS = {
    121: Form((6, 12, 24, 16)),
    161: Form((6, 12, 36, 24), growth=48, width=96),
    169: Form((6, 12, 32, 32)),
    201: Form((6, 12, 48, 32)),
}
"""The networks of table 1; 161 is that of the authors' released code."""

PUBLISHED = ((), ((r"\.(norm|conv)([12])\.", r".\1.\2."),))
"""Patterns from our names of weights to those of torchvision and timm, which are ours, and to those of older files of
torchvision; for `nets.published.adopt`."""


class DenseLayer(nn.Module):
    """H_l: joins `growth` channels to the maps."""

    def __init__(self, inputs: int, growth: int, gate: nn.Module | None) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), convolution(inputs, BOTTLENECK * growth, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(BOTTLENECK * growth), convolution(BOTTLENECK * growth, growth, 3)
        self.gate = nn.Identity() if gate is None else gate

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b o y x"]:
        hidden = self.conv1(F.relu(self.norm1(maps)))
        made = self.conv2(F.relu(self.norm2(hidden)))
        return torch.cat([maps, self.gate(made)], 1)


class Transition(nn.Module):
    """Half the channels, half the rows and columns."""

    def __init__(self, inputs: int, gate: nn.Module | None) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(inputs), convolution(inputs, inputs // 2, 1)
        self.gate = nn.Identity() if gate is None else gate

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b o v u"]:
        made: Tensor = self.gate(F.avg_pool2d(self.conv(F.relu(self.norm(maps))), 2))
        return made


class DenseNet(nn.Module):
    """A densely connected network from images to logits (Huang et al. 2017), for ImageNet.

    Args:
        depth: 121, 161, 169 or 201.
        classes: number of logits.
        channels: channels of the images.
        gate: makes a module, given its channels, for what each dense layer adds and for each transition.

    Raises:
        InvalidInput: another depth; a size below 1; images that are not (batch, channels, rows, columns), or have fewer
            than 29 rows or columns.
    """

    def __init__(
        self, depth: int, classes: int = 1000, *, channels: int = 3, gate: Callable[[int], nn.Module] | None = None
    ) -> None:
        super().__init__()
        if depth not in FORMS:
            raise InvalidInput(f"depth must be one of {', '.join(map(str, FORMS))}, not {depth}")
        check_sizes(classes=classes, channels=channels)
        form = FORMS[depth]
        self.channels, width = channels, form.width
        self.features = nn.Sequential()
        self.features.add_module("conv0", convolution(channels, width, 7, 2))
        self.features.add_module("norm0", nn.BatchNorm2d(width))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        for place, layers in enumerate(form.layers, 1):
            block = nn.Sequential()
            for layer in range(1, layers + 1):
                made = DenseLayer(width, form.growth, gate(form.growth) if gate else None)
                block.add_module(f"denselayer{layer}", made)
                width += form.growth
            self.features.add_module(f"denseblock{place}", block)
            if place < len(form.layers):
                self.features.add_module(f"transition{place}", Transition(width, gate(width // 2) if gate else None))
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, classes)

    def forward(self, images: Float[Tensor, "b i y x"]) -> Float[Tensor, "b classes"]:
        """The logits of the classes."""
        check_images(images, self.channels, LEAST)
        maps = F.relu(self.features(laid_out(images, self.classifier.weight.dtype)))
        logits: Tensor = self.classifier(maps.mean((2, 3)))
        return logits
