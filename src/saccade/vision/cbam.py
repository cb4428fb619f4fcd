"""The convolutional block attention module (CBAM). Woo et al. 2018, arXiv:1807.06521.

    F' = M_c(F) * F,   F'' = M_s(F') * F'                                 equation 1
    M_c(F) = sigmoid(W_1 relu(W_0 mean_yx F) + W_1 relu(W_0 max_yx F))    2, a gate for each channel
    M_s(F) = sigmoid(f([mean_c F; max_c F]))                              3, a gate for each place

Both terms of M_c share W_0, of C / r rows, and W_1. f is a 7 x 7 convolution of two maps to one, with zeros around the
image. As in the equations nothing has a bias or a norm by default; in the released code the two layers have biases, a
batch norm follows f, and the maximum comes before the mean. Nothing is added to F'': in a residual network the module
stands on the branch, before the addition.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saccade.attention.content import check_sizes
from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap
from saccade.vision.squeeze_excite import bottleneck, check_maps, scale_channels, squeeze


class ChannelGate(nn.Module):
    """M_c, a gate between 0 and 1 on each channel (equation 2).

    Args:
        channels: channels of the maps, C.
        reduction: the ratio r of channels to hidden units, of which there is at least one.
        bias: whether the two layers have biases.

    Raises:
        InvalidInput: a size below 1; maps that are not (batch, channels, rows, columns), or have no pixel.
    """

    def __init__(self, channels: int, *, reduction: int = 16, bias: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.perceptron = bottleneck(channels, reduction, bias)
        self.gates = Tap("b c")

    def gate(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c"]:
        """M_c(F)."""
        check_maps(maps, self.channels)
        largest = functional.adaptive_max_pool2d(maps, 1)[..., 0, 0]  # faster than amax, which shares among equals
        scores = self.perceptron(squeeze(maps)) + self.perceptron(largest)
        gates: Tensor = self.gates(scores.sigmoid())
        return gates

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """The maps times the gates of their channels."""
        return scale_channels(maps, self.gate(maps))


class SpatialGate(nn.Module):
    """M_s, a gate between 0 and 1 on each place (equation 3), for maps of any number of channels.

    Args:
        kernel: rows and columns of the convolution, odd.
        norm: whether a batch norm follows the convolution.

    Raises:
        InvalidInput: a kernel that is even or below 1; maps that are not (batch, channels, rows, columns), or are
            empty; with a norm, a single pixel in training, which has no variance.
    """

    def __init__(self, *, kernel: int = 7, norm: bool = False) -> None:
        super().__init__()
        check_sizes(kernel=kernel)
        if kernel % 2 == 0:
            raise InvalidInput(f"kernel must be odd, not {kernel}")
        self.convolution = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(1) if norm else nn.Identity()
        self.gates = Tap("b y x")

    def gate(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b y x"]:
        """M_s(F)."""
        check_maps(maps, max(maps.shape[1], 1) if maps.ndim > 1 else 1)
        if self.training and isinstance(self.norm, nn.BatchNorm2d) and maps[:, 0].numel() == 1:
            raise InvalidInput("batch norm over places needs at least 2 pixels in training, not 1")
        pooled = torch.stack([maps.mean(1), maps.max(1).values], 1)
        gates: Tensor = self.gates(self.norm(self.convolution(pooled))[:, 0].sigmoid())
        return gates

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """The maps times the gates of their places."""
        return maps * self.gate(maps)[:, None]


class CBAM(nn.Module):
    """Gates on channels, then on places (Woo et al. 2018). Its parts `channel` and `spatial` also work alone.

    Args:
        channels: channels of the maps, C.
        reduction: the ratio r of channels to hidden units, of which there is at least one.
        kernel: rows and columns of the convolution over places, odd.
        bias: whether the two layers of the channel gate have biases.
        norm: whether a batch norm follows the convolution over places.

    Raises:
        InvalidInput: a size below 1; an even kernel; maps that are not (batch, channels, rows, columns), or are empty;
            with a norm, a single pixel in training, which has no variance.
    """

    def __init__(
        self, channels: int, *, reduction: int = 16, kernel: int = 7, bias: bool = False, norm: bool = False
    ) -> None:
        super().__init__()
        self.channel = ChannelGate(channels, reduction=reduction, bias=bias)
        self.spatial = SpatialGate(kernel=kernel, norm=norm)

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """F''."""
        gated: Tensor = self.spatial(self.channel(maps))
        return gated
