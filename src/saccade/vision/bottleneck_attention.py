"""The bottleneck attention module (BAM): gates by channel and by place. Park et al. 2018, arXiv:1807.06514.

    F' = F + F * M(F)                                                equation 1
    M(F) = sigmoid(M_c(F) + M_s(F))                                  2
    M_c(F) = BN(W_1 relu(W_0 mean_yx F + b_0) + b_1)                 3, by channel
    M_s(F) = BN(f_3(relu f_2(relu f_1(relu f_0(F)))))                4, by place

f_0 is a 1 x 1 convolution to C / r channels, f_1 and f_2 are 3 x 3 with dilation d, f_3 is 1 x 1 to one channel; each
has a bias. The equations print no ReLU; the paper's text names a multi-layer perceptron, and its released code has a
ReLU after each hidden layer. That code multiplies M_c and M_s instead of adding them (`combine="product"`), and
normalises the hidden layers instead of the last one, which this file does not.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap
from saccade.vision.squeeze_excite import bottleneck, check_maps, squeeze

Combine = Literal["sum", "product"]


def combined(
    by_channel: Float[Tensor, "b c"], by_place: Float[Tensor, "b y x"], combine: Combine = "sum"
) -> Float[Tensor, "b c y x"]:
    """M(F) of both scores: the sigmoid of their sum, or of their product."""
    channels, places = by_channel[:, :, None, None], by_place[:, None]
    return torch.sigmoid(channels + places if combine == "sum" else channels * places)


class ChannelBranch(nn.Module):
    """M_c, a score for each channel (equation 3).

    Args:
        channels: channels of the maps, C.
        reduction: the ratio r of channels to hidden units, of which there is at least one.

    A single image has no variance: it is normalised by the running statistics in training too, so that a batch may have
    any size.

    Raises:
        InvalidInput: a size below 1; maps of another shape.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        self.channels = channels
        self.perceptron = bottleneck(channels, reduction, bias=True)
        self.norm = nn.BatchNorm1d(channels)
        self.scores = Tap("b c")

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c"]:
        check_maps(maps, self.channels)
        hidden = self.perceptron(squeeze(maps))
        if self.training and len(maps) == 1:
            norm = self.norm
            hidden = F.batch_norm(hidden, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        else:
            hidden = self.norm(hidden)
        scores: Tensor = self.scores(hidden)
        return scores


class SpatialBranch(nn.Module):
    """M_s, a score for each place (equation 4).

    Args:
        channels: channels of the maps, C.
        reduction: the ratio r of channels to hidden channels, of which there is at least one.
        dilation: distance of neighbouring weights of the 3 x 3 convolutions, d, in pixels.

    Raises:
        InvalidInput: a size below 1; maps of another shape; a single pixel in training, which has no variance.
    """

    def __init__(self, channels: int, *, reduction: int = 16, dilation: int = 4) -> None:
        super().__init__()
        check_sizes(channels=channels, reduction=reduction, dilation=dilation)
        self.channels = channels
        hidden = max(channels // reduction, 1)
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation),
            nn.ReLU(),
            nn.Conv2d(hidden, 1, 1),
        )
        self.norm = nn.BatchNorm2d(1)
        self.scores = Tap("b y x")

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b y x"]:
        check_maps(maps, self.channels)
        if self.training and len(maps) * maps.shape[2] * maps.shape[3] == 1:
            raise InvalidInput("batch norm over places needs at least 2 pixels in training, not 1")
        scores: Tensor = self.scores(self.norm(self.convolutions(maps))[:, 0])
        return scores


class BottleneckAttention(nn.Module):
    """BAM: each value of the maps times 1 to 2, by its channel and its place (Park et al. 2018).

    It stands between two stages of a network.

    Args:
        channels: channels of the maps, C.
        reduction: the ratio r of channels to hidden channels, of which there is at least one.
        dilation: dilation of the spatial branch, d, in pixels.
        combine: "sum" of the two scores, as in the paper, or their "product", as in its released code.

    Raises:
        InvalidInput: a size below 1; another `combine`; maps that are not (batch, channels, rows, columns), or have no
            pixel; one image of one pixel in training, where the norm over places finds no variance.
    """

    def __init__(self, channels: int, *, reduction: int = 16, dilation: int = 4, combine: Combine = "sum") -> None:
        super().__init__()
        if combine not in get_args(Combine):
            raise InvalidInput(f"combine must be 'sum' or 'product', not {combine!r}")
        self.combine: Combine = combine
        self.channel = ChannelBranch(channels, reduction=reduction)
        self.spatial = SpatialBranch(channels, reduction=reduction, dilation=dilation)
        self.gates = Tap("b c y x")

    def gate(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """M(F), between 0 and 1."""
        gates: Tensor = self.gates(combined(self.channel(maps), self.spatial(maps), self.combine))
        return gates

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """F (1 + M(F))."""
        return maps * (1 + self.gate(maps))
