"""Position encodings. Vaswani et al. 2017, arXiv:1706.03762, section 3.5.

    PE(p, 2i) = sin(p / 10000^(2i/d)),   PE(p, 2i+1) = cos(p / 10000^(2i/d))         p position, from 0; d features

PE(p + n) is PE(p) with each pair of features rotated by an angle that depends on n and the pair, not on p. Learned
positions (Gehring et al. 2017, arXiv:1705.03122) are a table of limited length.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput


def sinusoid(positions: Float[Tensor, " t"], features: int) -> Float[Tensor, "t d"]:
    """PE of these positions; sines and cosines alternate, and an odd last feature is a sine."""
    turns = torch.arange(0, features, 2, device=positions.device, dtype=positions.dtype) / features
    angles = positions[:, None] * 10_000.0**-turns
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[:, :features]


class SinusoidalPositions(nn.Module):
    """Sines and cosines of growing wavelength, for sequences of any length.

    Args:
        model_size: features of a position.
    """

    longest = None

    def __init__(self, model_size: int) -> None:
        super().__init__()
        self.model_size = model_size

    def forward(self, inputs: Float[Tensor, "b t d"], start: int = 0) -> Float[Tensor, "b t d"]:
        """The inputs with their positions added, counted from `start`."""
        # in float64 if the device has it, since in float32 the angle of a late position is imprecise
        precise = torch.float32 if inputs.device.type == "mps" else torch.float64
        places = torch.arange(start, start + inputs.shape[1], device=inputs.device, dtype=precise)
        return inputs + sinusoid(places, self.model_size).to(inputs.dtype)


class LearnedPositions(nn.Module):
    """A learned vector for each position.

    Args:
        model_size: features of a position.
        longest: number of positions.

    Raises:
        InvalidInput: in `forward`, a longer sequence.
    """

    def __init__(self, model_size: int, longest: int) -> None:
        super().__init__()
        self.longest = longest
        self.table = nn.Parameter(torch.empty(longest, model_size))
        nn.init.normal_(self.table, std=model_size**-0.5)

    def forward(self, inputs: Float[Tensor, "b t d"], start: int = 0) -> Float[Tensor, "b t d"]:
        """The inputs with their positions added, counted from `start`."""
        end = start + inputs.shape[1]
        if end > self.longest:
            raise InvalidInput(
                f"a sequence of {end} symbols is longer than the {self.longest} positions that the model has learned; "
                "shorten it, or train with more positions or with sinusoidal ones"
            )
        return inputs + self.table[start:end]
