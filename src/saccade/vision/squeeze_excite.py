"""Squeeze and excitation: a gate on each channel. Hu et al. 2018, arXiv:1709.01507, equations 2 to 4.

    z_c = mean_yx u_cyx                    equation 2, squeeze
    s = sigmoid(W_2 relu(W_1 z))           3, excitation
    x~_cyx = s_c u_cyx                     4, scale

W_1 has C / r rows for C channels and a reduction ratio r: rounded down, and at least one. As in equation 3, the two
layers have no biases by default; many published weights have some.
"""

from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.content import check_sizes
from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap


def check_maps(maps: Tensor, channels: int) -> None:
    """Check that feature maps are (batch, channels, rows, columns).

    Raises:
        InvalidInput: another rank or number of channels; maps without a pixel.
    """
    if maps.ndim != 4:
        raise InvalidInput(f"maps must be (batch, channels, rows, columns), not {tuple(maps.shape)}")
    if maps.shape[1] != channels:
        raise InvalidInput(f"maps must have {channels} channels, not {maps.shape[1]}")
    if 0 in maps.shape[2:]:
        raise InvalidInput(f"maps must have at least one pixel, not {maps.shape[2]} x {maps.shape[3]}")


def bottleneck(channels: int, reduction: int, bias: bool) -> nn.Sequential:
    """W_2 relu(W_1 z): a hidden layer of channels / reduction units, at least one.

    Raises:
        InvalidInput: channels or a reduction below 1.
    """
    check_sizes(channels=channels, reduction=reduction)
    hidden = max(channels // reduction, 1)
    return nn.Sequential(nn.Linear(channels, hidden, bias), nn.ReLU(), nn.Linear(hidden, channels, bias))


def squeeze(maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c"]:
    """The mean of each channel over the image."""
    return maps.mean((2, 3))


def scale_channels(maps: Float[Tensor, "b c y x"], gates: Float[Tensor, "b c"]) -> Float[Tensor, "b c y x"]:
    """Each channel times its gate."""
    return maps * gates[..., None, None]


class SqueezeExcite(nn.Module):
    """A gate between 0 and 1 on each channel, chosen by the means of all channels (Hu et al. 2018).

    In a residual network it stands on the branch, before the addition.

    Args:
        channels: channels of the maps, C.
        reduction: the ratio r of channels to hidden units.
        bias: whether the two layers have biases; equation 3 has none.

    Raises:
        InvalidInput: a size below 1; maps that are not (batch, channels, rows, columns), or have no pixel.
    """

    def __init__(self, channels: int, *, reduction: int = 16, bias: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.excitation = bottleneck(channels, reduction, bias)
        self.gates = Tap("b c")

    def gate(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c"]:
        """s, the gate of each channel."""
        check_maps(maps, self.channels)
        gates: Tensor = self.gates(self.excitation(squeeze(maps)).sigmoid())
        return gates

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """The maps times the gates of their channels."""
        return scale_channels(maps, self.gate(maps))
