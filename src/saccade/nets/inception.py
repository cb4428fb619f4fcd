"""Inception v3. Szegedy et al. 2016, arXiv:1512.00567, table 1; its details as in the published weights.

A mixed block joins the channels of several branches: 1 x 1 convolutions, factorised larger ones (5 x 5 as two of 3 x 3,
7 x 7 as 1 x 7 and 7 x 1), and a pooling. A batch norm (epsilon 0.001) and a ReLU follow each convolution.

The socket for a gate is on the joined channels of each mixed block: Hu et al. 2018, arXiv:1709.01507, figure 2.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.core.errors import InvalidInput
from saccade.nets.convolution import Kernel, check_images, convolution, laid_out

LEAST, LEAST_AUXILIARY = 75, 299  # pixels of an image's side, of which the last maps have one

Gate = Callable[[int], nn.Module]
Layer = tuple[int, Kernel] | tuple[int, Kernel, int]
"""Channels, kernel, and stride if it is not 1. With a stride there are no zeros around the image."""

PUBLISHED = (((r"^(stem|early|late)\.", ""), (r"branches\.\d+\.(\d+\.)?", "")),)
"""Patterns from our names of weights to those of torchvision and timm, for `nets.published.adopt`."""


class ConvNorm(nn.Module):
    """relu BN conv."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, *, padded: bool = True) -> None:
        super().__init__()
        self.conv = convolution(inputs, outputs, kernel, stride, padded=padded)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b o v u"]:
        return F.relu(self.bn(self.conv(maps)))


class Mixed(nn.Module):
    """The channels of all branches, joined, and gated."""

    def __init__(self, *branches: nn.Module, gate: nn.Module | None = None) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.gate = nn.Identity() if gate is None else gate

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b o v u"]:
        joined: Tensor = self.gate(torch.cat([branch(maps) for branch in self.branches], 1))
        return joined


def branch(inputs: int, **layers: Layer) -> nn.Sequential:
    """Convolutions one after the other, by their published names."""
    made = nn.Sequential()
    for name, (outputs, kernel, *stride) in layers.items():
        made.add_module(name, ConvNorm(inputs, outputs, kernel, *stride, padded=not stride))
        inputs = outputs
    return made


def pooled(inputs: int, outputs: int) -> nn.Sequential:
    """The mean over 3 x 3, and a 1 x 1 convolution."""
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), branch(inputs, branch_pool=(outputs, 1)))


def split(inputs: int, **layers: Layer) -> Mixed:
    """Convolutions beside each other."""
    return Mixed(*(branch(inputs, **{name: layer}) for name, layer in layers.items()))


def mixed_5(inputs: int, pool: int, gate: Gate | None) -> Mixed:
    """Figure 5 of the paper: to 224 + `pool` channels."""
    return Mixed(
        branch(inputs, branch1x1=(64, 1)),
        branch(inputs, branch5x5_1=(48, 1), branch5x5_2=(64, 5)),
        branch(inputs, branch3x3dbl_1=(64, 1), branch3x3dbl_2=(96, 3), branch3x3dbl_3=(96, 3)),
        pooled(inputs, pool),
        gate=gate and gate(224 + pool),
    )


def mixed_6a(inputs: int, gate: Gate | None) -> Mixed:
    """Figure 10: half the rows and columns, to `inputs` + 480 channels."""
    return Mixed(
        branch(inputs, branch3x3=(384, 3, 2)),
        branch(inputs, branch3x3dbl_1=(64, 1), branch3x3dbl_2=(96, 3), branch3x3dbl_3=(96, 3, 2)),
        nn.MaxPool2d(3, 2),
        gate=gate and gate(inputs + 480),
    )


def mixed_6(inputs: int, width: int, gate: Gate | None) -> Mixed:
    """Figure 6, with n = 7: to 768 channels."""
    flat, tall = (1, 7), (7, 1)
    return Mixed(
        branch(inputs, branch1x1=(192, 1)),
        branch(inputs, branch7x7_1=(width, 1), branch7x7_2=(width, flat), branch7x7_3=(192, tall)),
        branch(
            inputs, branch7x7dbl_1=(width, 1), branch7x7dbl_2=(width, tall), branch7x7dbl_3=(width, flat),
            branch7x7dbl_4=(width, tall), branch7x7dbl_5=(192, flat),
        ),
        pooled(inputs, 192),
        gate=gate and gate(768),
    )  # fmt: skip


def mixed_7a(inputs: int, gate: Gate | None) -> Mixed:
    """Half the rows and columns, to `inputs` + 512 channels."""
    return Mixed(
        branch(inputs, branch3x3_1=(192, 1), branch3x3_2=(320, 3, 2)),
        branch(
            inputs, branch7x7x3_1=(192, 1), branch7x7x3_2=(192, (1, 7)), branch7x7x3_3=(192, (7, 1)),
            branch7x7x3_4=(192, 3, 2),
        ),
        nn.MaxPool2d(3, 2),
        gate=gate and gate(inputs + 512),
    )  # fmt: skip


def mixed_7(inputs: int, gate: Gate | None) -> Mixed:
    """Figure 7: to 2048 channels."""
    flat, tall = (384, (1, 3)), (384, (3, 1))
    return Mixed(
        branch(inputs, branch1x1=(320, 1)),
        nn.Sequential(branch(inputs, branch3x3_1=(384, 1)), split(384, branch3x3_2a=flat, branch3x3_2b=tall)),
        nn.Sequential(
            branch(inputs, branch3x3dbl_1=(448, 1), branch3x3dbl_2=(384, 3)),
            split(384, branch3x3dbl_3a=flat, branch3x3dbl_3b=tall),
        ),
        pooled(inputs, 192),
        gate=gate and gate(2048),
    )


class Auxiliary(nn.Module):
    """The second classifier, on maps of the middle, which helps the lower layers to learn (section 4)."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv0 = ConvNorm(inputs, 128, 1)
        self.conv1 = ConvNorm(128, 768, 5, padded=False)
        self.fc = nn.Linear(768, classes)

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b classes"]:
        reduced = self.conv1(self.conv0(F.avg_pool2d(maps, 5, 3)))
        logits: Tensor = self.fc(reduced.mean((2, 3)))
        return logits


class Both(NamedTuple):
    """Logits of the network, and of its auxiliary head."""

    logits: Float[Tensor, "b classes"]
    auxiliary: Float[Tensor, "b classes"]


class Inception(nn.Module):
    """Inception v3, from images to logits (Szegedy et al. 2016).

    The published weights of torchvision and timm expect images of 299 x 299 scaled to -1..1: mean and deviation 0.5.

    Args:
        classes: number of logits.
        channels: channels of the images.
        gate: makes a module, given its channels, for the result of each mixed block.
        auxiliary: whether there is an auxiliary head, for `both`.
        dropout: share of the last features dropped in training.

    Raises:
        InvalidInput: a size below 1; images that are not (batch, channels, rows, columns), or have fewer than 75
            rows or columns (299 for the auxiliary head).
    """

    def __init__(
        self,
        classes: int = 1000,
        *,
        channels: int = 3,
        gate: Gate | None = None,
        auxiliary: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_sizes(classes=classes, channels=channels)
        self.channels, self.dropout = channels, dropout
        self.stem = nn.Sequential(
            OrderedDict(
                Conv2d_1a_3x3=ConvNorm(channels, 32, 3, 2, padded=False),
                Conv2d_2a_3x3=ConvNorm(32, 32, 3, padded=False),
                Conv2d_2b_3x3=ConvNorm(32, 64, 3),
                maxpool1=nn.MaxPool2d(3, 2),
                Conv2d_3b_1x1=ConvNorm(64, 80, 1),
                Conv2d_4a_3x3=ConvNorm(80, 192, 3, padded=False),
                maxpool2=nn.MaxPool2d(3, 2),
            )
        )
        self.early = nn.Sequential(
            OrderedDict(
                Mixed_5b=mixed_5(192, 32, gate),
                Mixed_5c=mixed_5(256, 64, gate),
                Mixed_5d=mixed_5(288, 64, gate),
                Mixed_6a=mixed_6a(288, gate),
                Mixed_6b=mixed_6(768, 128, gate),
                Mixed_6c=mixed_6(768, 160, gate),
                Mixed_6d=mixed_6(768, 160, gate),
                Mixed_6e=mixed_6(768, 192, gate),
            )
        )
        self.AuxLogits = Auxiliary(768, classes) if auxiliary else None
        self.late = nn.Sequential(
            OrderedDict(Mixed_7a=mixed_7a(768, gate), Mixed_7b=mixed_7(1280, gate), Mixed_7c=mixed_7(2048, gate))
        )
        self.fc = nn.Linear(2048, classes)

    def forward(self, images: Float[Tensor, "b i y x"]) -> Float[Tensor, "b classes"]:
        """The logits of the classes."""
        check_images(images, self.channels, LEAST)
        return self._classified(self._middle(images))

    def both(self, images: Float[Tensor, "b i y x"]) -> Both:
        """The logits of the classes, and those of the auxiliary head, for training.

        Raises:
            InvalidInput: there is no auxiliary head; images as for `forward`.
        """
        if self.AuxLogits is None:
            raise InvalidInput("this network has no auxiliary head; build it with auxiliary=True")
        check_images(images, self.channels, LEAST_AUXILIARY)
        maps = self._middle(images)
        return Both(self._classified(maps), self.AuxLogits(maps))

    def _middle(self, images: Float[Tensor, "b i y x"]) -> Float[Tensor, "b c v u"]:
        maps: Tensor = self.early(self.stem(laid_out(images, self.fc.weight.dtype)))
        return maps

    def _classified(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b classes"]:
        features = self.late(maps).mean((2, 3))
        logits: Tensor = self.fc(F.dropout(features, self.dropout, self.training))
        return logits
