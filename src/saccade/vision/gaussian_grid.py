"""A grid of Gaussian filters that reads and writes a patch of an image. Gregor et al. 2015, arXiv:1502.04623, 3.2, 3.3.

    (g~_X, g~_Y, log sigma^2, log delta~, log gamma) = W h         equation 21
    g_X = (g~_X + 1) (A + 1) / 2                                   22
    g_Y = (g~_Y + 1) (B + 1) / 2                                   23
    delta = delta~ (max(A, B) - 1) / (N - 1)                       24
    mu_X(i) = g_X + (i - N/2 - 0.5) delta                          19
    mu_Y(j) = g_Y + (j - N/2 - 0.5) delta                          20
    F_X(i, a) = exp(-(a - mu_X(i))^2 / (2 sigma^2)) / Z_X(i)       25
    F_Y(j, b) = exp(-(b - mu_Y(j))^2 / (2 sigma^2)) / Z_Y(j)       26
    read(x) = gamma F_Y x F_X^T                                    27
    write(w) = F_Y^T w F_X / gamma                                 29

An image x has B rows of A pixels, a patch has N x N; a, b, i and j count from 1, so (g_X, g_Y) = ((A + 1) / 2,
(B + 1) / 2) is the centre of the image. Z makes each row of F sum to 1. Rows are normalised in log space, where the
exponent is measured from the pixel that is nearest to mu: the filter of a row far outside the image is the pixel at its
edge. Tails below e^-43 (in float32) are zero. One filter (N = 1) has no stride. Logarithms are limited to 15 and g~ to
a million, so that nothing overflows.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap

LARGEST = 15.0  # limit on log sigma^2, log delta~ and log gamma
FARTHEST = 1e6  # limit on g~; 1 is the edge of the image


class Grid(NamedTuple):
    """Where the filters are. The centres of an image's pixels are at 1, 2, ... from the left and from the top."""

    centre: Float[Tensor, "b 2"]
    """g_X and g_Y, in pixels."""
    stride: Float[Tensor, " b"]
    """delta, in pixels."""
    variance: Float[Tensor, " b"]
    """sigma^2, in square pixels."""
    log_intensity: Float[Tensor, " b"]
    """log gamma."""

    def means(self, size: int) -> Float[Tensor, "b k n"]:
        """mu_X and mu_Y of N x N filters, in pixels."""
        steps = torch.arange(1, size + 1, dtype=self.stride.dtype, device=self.stride.device) - size / 2 - 0.5
        return self.centre[..., None] + steps * self.stride[:, None, None]

    def centres(self, size: int) -> Float[Tensor, "b filters 2"]:
        """mu_X and mu_Y of each of the N x N filters, row by row, in pixels."""
        across, down = self.means(size).unbind(1)
        grid = torch.stack([across[:, None].expand(-1, size, -1), down[..., None].expand(-1, -1, size)], -1)
        return grid.flatten(1, 2)

    def boxes(self, size: int) -> Float[Tensor, "b 4"]:
        """The area of N x N filters, one stride wide each: x and y of the upper left corner, width and height, in
        pixels; (0, 0) is the corner of the first pixel."""
        width = (size * self.stride)[:, None]
        return torch.cat([self.centre - 0.5 - width / 2, width, width], 1)


class FilterBank(NamedTuple):
    """The filters of a grid. Each row sums to 1."""

    columns: Float[Tensor, "b n x"]
    """F_X."""
    rows: Float[Tensor, "b n y"]
    """F_Y."""
    log_intensity: Float[Tensor, " b"]
    """log gamma."""


def grid_of(outputs: Float[Tensor, "b 5"], height: int, width: int, size: int) -> Grid:
    """The grid of N x N filters that a network's outputs place on an image; at least in float32."""
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    across, down, variance, stride, intensity = outputs.unbind(1)
    relative = torch.stack([across, down], 1).clamp(-FARTHEST, FARTHEST)
    centre = (relative + 1) * outputs.new_tensor([(width + 1) / 2, (height + 1) / 2])
    stride = widest_stride(height, width, size) * stride.clamp(-LARGEST, LARGEST).exp()
    return Grid(centre, stride, variance.clamp(-LARGEST, LARGEST).exp(), intensity.clamp(-LARGEST, LARGEST))


def widest_stride(height: int, width: int, size: int) -> float:
    """The stride with which the grid covers the longer side of the image, in pixels; the delta of delta~ = 1."""
    return (max(height, width) - 1) / max(size - 1, 1)


def filters(means: Float[Tensor, "b k n"], variance: Float[Tensor, " b"], length: int) -> Float[Tensor, "b k n p"]:
    """F along axes of p pixels, from the means of its rows."""
    # exponents relative to the nearest pixel in the image, without the difference of two large squares
    nearest = means.detach().clamp(1, length)
    away = torch.arange(1, length + 1, dtype=means.dtype, device=means.device) - nearest[..., None]
    squares = away * (away + 2 * (nearest - means)[..., None])
    exponents = squares * (-0.5 / variance)[:, None, None, None]
    # tails are zero where products of two of them would be denormal: those make products many times slower
    least = math.log(torch.finfo(exponents.dtype).tiny) / 2
    return exponents.masked_fill(exponents < least, -math.inf).softmax(-1)


def bank_of(grid: Grid, height: int, width: int, size: int) -> FilterBank:
    """The filters of a grid on an image."""
    means = grid.means(size)
    if height == width:  # both axes at once
        columns, rows = filters(means, grid.variance, width).unbind(1)
    else:
        columns = filters(means[:, :1], grid.variance, width)[:, 0]
        rows = filters(means[:, 1:], grid.variance, height)[:, 0]
    return FilterBank(columns, rows, grid.log_intensity)


def read(images: Float[Tensor, "b c y x"], bank: FilterBank) -> Float[Tensor, "b c n n"]:
    """gamma F_Y x F_X^T of each channel."""
    channels, height = images.shape[1:3]
    across = torch.bmm(images.flatten(1, 2), bank.columns.mT).unflatten(1, (channels, height))
    patches: Tensor = bank.log_intensity.exp()[:, None, None, None] * (bank.rows[:, None] @ across)
    return patches


def write(patches: Float[Tensor, "b c n n"], bank: FilterBank) -> Float[Tensor, "b c y x"]:
    """1 / gamma F_Y^T w F_X of each channel."""
    channels, size = patches.shape[1:3]
    patches = (-bank.log_intensity).exp()[:, None, None, None] * patches
    across = torch.bmm(patches.flatten(1, 2), bank.columns).unflatten(1, (channels, size))
    written: Tensor = bank.rows.mT[:, None] @ across
    return written


class GaussianGrid(nn.Module):
    """An N x N grid of Gaussians, placed on an image by a linear function of a hidden state (Gregor et al. 2015).

    A new grid covers the image, with sigma of half a stride, so that neighbouring filters overlap.

    Args:
        input_size: features of the hidden state.
        size: N, the rows and columns of a patch.
        height: rows of the image.
        width: columns of the image.

    Raises:
        InvalidInput: a size below 1; images of another size.
    """

    def __init__(self, input_size: int, size: int, height: int, width: int) -> None:
        super().__init__()
        given = {"input_size": input_size, "size": size, "height": height, "width": width}
        for name, value in given.items():
            if value < 1:
                raise InvalidInput(f"{name} must be at least 1, not {value}")
        self.size, self.height, self.width = size, height, width
        self.parameters_of = nn.Linear(input_size, 5)
        self.boxes = Tap("b xywh")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.parameters_of.weight)
        half = max(widest_stride(self.height, self.width, self.size), 1.0) / 2
        with torch.no_grad():
            self.parameters_of.bias.copy_(torch.tensor([0, 0, 2 * math.log(half), 0, 0]))

    def forward(self, hidden: Float[Tensor, "b d"]) -> FilterBank:
        """The filters that a hidden state chooses."""
        grid = grid_of(self.parameters_of(hidden), self.height, self.width, self.size)
        self.boxes.lazy(lambda: grid.boxes(self.size))
        return bank_of(grid, self.height, self.width, self.size)

    def read(self, images: Float[Tensor, "b c y x"], bank: FilterBank) -> Float[Tensor, "b c n n"]:
        """The patch of each channel: gamma F_Y x F_X^T."""
        if images.shape[2:] != (self.height, self.width):
            came = " x ".join(map(str, images.shape[2:]))
            raise InvalidInput(f"images must have {self.height} rows and {self.width} columns, not {came}")
        return read(images, bank)

    def write(self, patches: Float[Tensor, "b c n n"], bank: FilterBank) -> Float[Tensor, "b c y x"]:
        """Patches written into images: 1 / gamma F_Y^T w F_X."""
        return write(patches, bank)
