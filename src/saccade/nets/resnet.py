"""Residual networks. He et al. 2016, arXiv:1512.03385.

    y = relu(x' + F(x))                                                       equations 1 and 2
    F = BN W_2 relu(BN W_1 x)                          basic block: two 3 x 3 convolutions
    F = BN W_3 relu(BN W_2 relu(BN W_1 x))             bottleneck: 1 x 1, 3 x 3, and 1 x 1 to four times the channels

x' is x, or where the shape changes a projection of it: a 1 x 1 convolution with a batch norm (option B); in the
networks for CIFAR, every second pixel with channels of zeros added (option A). A bottleneck has its stride in the 3 x 3
convolution, as in the published weights of torchvision and timm, and not in the first 1 x 1 as in the paper.

Sockets: a gate on the branch, before the addition; a module between two stages; another spatial operation than the
3 x 3 convolution; a drop of the branch.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.core.errors import InvalidInput
from saccade.nets.convolution import check_images, convolution, laid_out

Gate = Callable[[int], nn.Module]
"""channels -> a module from maps to maps of the same shape."""
Spatial = Callable[[int, int, int], nn.Module]
"""(channels in, channels out, stride) -> a module in the place of a 3 x 3 convolution."""
Stem = Callable[[int, int], nn.Module]
"""(channels of images, channels out) -> a module in the place of the first convolution; it keeps the image's size."""
Drop = Callable[[float], nn.Module]
"""A block's depth, from 0 at the first to 1 at the last -> a module on its branch, such as stochastic depth."""


class Form(NamedTuple):
    """The blocks of each stage, and the channels of the first one inside a block."""

    blocks: tuple[int, ...]
    bottleneck: bool = False
    width: int = 64
    cifar: bool = False


def cifar(depth: int) -> Form:
    """6 n + 2 layers: a 3 x 3 convolution and three stages of n basic blocks (section 4.2)."""
    return Form(((depth - 2) // 6,) * 3, width=16, cifar=True)


FORMS = {
    18: Form((2, 2, 2, 2)),
    26: Form((1, 2, 4, 1), bottleneck=True),
    34: Form((3, 4, 6, 3)),
    38: Form((2, 3, 5, 2), bottleneck=True),
    50: Form((3, 4, 6, 3), bottleneck=True),
    101: Form((3, 4, 23, 3), bottleneck=True),
    152: Form((3, 8, 36, 3), bottleneck=True),
    **{depth: cifar(depth) for depth in (20, 32, 44, 56, 110)},
}
"""The networks of table 1, for ImageNet, and of table 6, for CIFAR. Those of 26 and 38 layers, with one and two blocks
fewer a stage than 50, are Ramachandran et al.'s (2019, arXiv:1906.05909)."""

PUBLISHED = (((r"^stages\.", ""), (r"\.gate\.excitation\.0\.", ".se.fc1."), (r"\.gate\.excitation\.2\.", ".se.fc2.")),)
"""Patterns from our names of weights to those of torchvision (resnet18 to resnet152) and timm (also seresnet50: a gate
`SqueezeExcite(channels, bias=True)`), for `nets.published.adopt`."""


def conv3x3(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    return convolution(inputs, outputs, 3, stride)


class PaddedShortcut(nn.Module):
    """Option A: every `stride`-th pixel, with channels of zeros after the others. It has no weights.

    Args:
        inputs: channels of the maps.
        outputs: channels of the result.
        stride: distance of the pixels that are kept.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.zeros, self.stride = outputs - inputs, stride

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b o v u"]:
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.zeros))


class Block(nn.Module):
    """The parts that both kinds of blocks share: shortcut, gate, drop and addition."""

    def __init__(self, channels: int, shortcut: nn.Module, gate: Gate | None, drop: nn.Module | None) -> None:
        super().__init__()
        self.downsample = shortcut
        self.gate = nn.Identity() if gate is None else gate(channels)
        self.drop = nn.Identity() if drop is None else drop

    def branch(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b o v u"]:
        raise NotImplementedError

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b o v u"]:
        branch = self.drop(self.gate(self.branch(maps)))
        return F.relu(self.downsample(maps) + branch)


class BasicBlock(Block):
    """Two 3 x 3 convolutions, of which the first has the stride."""

    def __init__(
        self, inputs: int, width: int, stride: int, shortcut: nn.Module, spatial: Spatial, gate: Gate | None,
        drop: nn.Module | None,
    ) -> None:  # fmt: skip
        super().__init__(width, shortcut, gate, drop)
        self.conv1, self.bn1 = spatial(inputs, width, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = spatial(width, width, 1), nn.BatchNorm2d(width)

    def branch(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b o v u"]:
        hidden = F.relu(self.bn1(self.conv1(maps)))
        made: Tensor = self.bn2(self.conv2(hidden))
        return made


class Bottleneck(Block):
    """1 x 1 to `width` channels, 3 x 3 with the stride, 1 x 1 to 4 `width` channels."""

    def __init__(
        self, inputs: int, width: int, stride: int, shortcut: nn.Module, spatial: Spatial, gate: Gate | None,
        drop: nn.Module | None,
    ) -> None:  # fmt: skip
        super().__init__(4 * width, shortcut, gate, drop)
        self.conv1, self.bn1 = convolution(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = spatial(width, width, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = convolution(width, 4 * width, 1), nn.BatchNorm2d(4 * width)

    def branch(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b o v u"]:
        hidden = F.relu(self.bn1(self.conv1(maps)))
        hidden = F.relu(self.bn2(self.conv2(hidden)))
        made: Tensor = self.bn3(self.conv3(hidden))
        return made


class ResNet(nn.Module):
    """A residual network from images to logits (He et al. 2016).

    Images may have any size. The networks for ImageNet halve it five times, those for CIFAR twice, rounding up.

    Args:
        depth: 18, 26, 34, 38, 50, 101 or 152: the networks for ImageNet; 20, 32, 44, 56 or 110: those for CIFAR, with a
            3 x 3 convolution first and shortcuts without weights.
        classes: number of logits.
        channels: channels of the images.
        gate: makes a module on the branch of each block, after the last norm and before the addition, such as
            `SqueezeExcite` (Hu et al. 2018, figure 3) or `CBAM`.
        between: makes a module after each stage but the last, such as `BottleneckAttention` (Park et al. 2018).
        spatial: for stages, numbered from 1, what replaces their 3 x 3 convolutions, such as `LocalAttention2d`.
        stem: makes what replaces the first convolution, such as `AttentionStem`. In the networks for ImageNet it has
            the image's size, and 4 x 4 max pooling follows its norm.
        drop: makes a module on the branch of each block, after the gate, such as stochastic depth.
        width: times the channels of every stage, rounded.

    Raises:
        InvalidInput: another depth; a size below 1, also the channels of the first stage; a stage that there is not;
            images that are not (batch, channels, rows, columns).
    """

    def __init__(
        self,
        depth: int,
        classes: int = 1000,
        *,
        channels: int = 3,
        gate: Gate | None = None,
        between: Gate | None = None,
        spatial: Mapping[int, Spatial] | None = None,
        stem: Stem | None = None,
        drop: Drop | None = None,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if depth not in FORMS:
            raise InvalidInput(f"depth must be one of {', '.join(map(str, sorted(FORMS)))}, not {depth}")
        check_sizes(classes=classes, channels=channels)
        form = FORMS[depth]._replace(width=round(width * FORMS[depth].width))
        check_sizes(**{"channels of the first stage": form.width})
        stages = range(1, len(form.blocks) + 1)
        if unknown := [stage for stage in spatial or {} if stage not in stages]:
            raise InvalidInput(f"ResNet-{depth} has the stages 1 to {len(stages)}, and no stage {unknown[0]}")
        self.channels = channels
        first: Stem = stem or partial(convolution, kernel=3 if form.cifar else 7, stride=1 if form.cifar else 2)
        self.conv1 = first(channels, form.width)
        self.bn1 = nn.BatchNorm2d(form.width)
        pool = nn.MaxPool2d(3, 2, 1) if stem is None else nn.MaxPool2d(4, ceil_mode=True)
        self.maxpool = nn.Identity() if form.cifar else pool
        self.stages = nn.Sequential()
        kind, place, inputs = Bottleneck if form.bottleneck else BasicBlock, 0, form.width
        for stage, count in zip(stages, form.blocks, strict=True):
            inside, made, blocks = form.width * 2 ** (stage - 1), (spatial or {}).get(stage, conv3x3), nn.Sequential()
            outputs = 4 * inside if form.bottleneck else inside
            for block in range(count):
                stride = 2 if stage > 1 and block == 0 else 1
                shortcut = shortcut_of(form, inputs, outputs, stride)
                dropped = None if drop is None else drop(place / (sum(form.blocks) - 1))
                blocks.append(kind(inputs, inside, stride, shortcut, made, gate, dropped))
                place, inputs = place + 1, outputs
            self.stages.add_module(f"layer{stage}", blocks)
            if between is not None and stage < len(stages):
                self.stages.add_module(f"between{stage}", between(outputs))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, images: Float[Tensor, "b i y x"]) -> Float[Tensor, "b classes"]:
        """The logits of the classes."""
        check_images(images, self.channels)
        maps = self.maxpool(F.relu(self.bn1(self.conv1(laid_out(images, self.fc.weight.dtype)))))
        maps = self.stages(maps)
        logits: Tensor = self.fc(maps.mean((2, 3)))
        return logits


def shortcut_of(form: Form, inputs: int, outputs: int, stride: int) -> nn.Module:
    """The identity, or where the shape changes option A or B."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    if form.cifar:
        return PaddedShortcut(inputs, outputs, stride)
    return nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
