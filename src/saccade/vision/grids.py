"""Grids of spatial transformers. Jaderberg, Simonyan, Zisserman & Kavukcuoglu 2015, arXiv:1506.02025, section 3.2.

    affine       x^s = t_1 x + t_2 y + t_3,  y^s = t_4 x + t_5 y + t_6                             equation 1
    similarity   x^s = t_1 x - t_2 y + t_3,  y^s = t_2 x + t_1 y + t_4
    projective   x^s = (t_1 x + t_2 y + t_3) / w,  y^s = (t_4 x + t_5 y + t_6) / w,  w = t_7 x + t_8 y + 1
    spline       p^s = p + sum_i B_i(p) d_i,  d_i = (t_2i-1, t_2i)

p = (x, y) is a point of the output (the paper's target) and p^s the place of the input that it shows. A similarity with
t_1 = s cos(a) and t_2 = s sin(a) turns by the angle a and scales by s; with t_2 = 0 it is the paper's attention,
equation 2.

The spline is a thin plate spline (Bookstein 1989, doi:10.1109/34.24792) through n x n control points c_i, a regular
grid from corner to corner, the paper's 16 by default. The parameters are the displacements d_i: the output at c_i shows
the input at c_i + d_i. B_i is the spline that is 1 at c_i and 0 at the others:

    B_i(p) = a_i + b_i . p + sum_j w_ij U(|p - c_j|),   U(r) = r^2 log r^2,   sum_j w_ij = 0,   sum_j w_ij c_j = 0

Corners: (-1, -1) is the centre of the first pixel, (1, 1) that of the last (`align_corners=True` in torch); the paper
says only that coordinates are from -1 to 1 within the bounds. x is to the right, y down. A side of one pixel has its
only point at -1.

Each parameter is taken as at most 10^6 in size, so that finite parameters give finite places. At and beyond the horizon
of a projective grid, where w < 10^-4, there is nothing to see: the place lies outside the input, without a gradient.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.core.errors import InvalidInput

OUTSIDE = 4.0
"""A coordinate of a place outside any input: further than a pixel from it."""
LARGEST, HORIZON = 1e6, 1e-4


def points(rows: int, columns: int) -> Float[Tensor, "p 2"]:
    """The points (x, y) of a regular grid over [-1, 1] x [-1, 1], row by row, in float64."""
    y, x = (torch.linspace(-1, 1, size, dtype=torch.float64) for size in (rows, columns))
    return torch.cartesian_prod(y, x).flip(-1)


def bounded(theta: Float[Tensor, "b n"], targets: Float[Tensor, "p n2"]) -> Float[Tensor, "b n"]:
    """The parameters, at most 10^6 in size, in the precision of the targets."""
    return theta.to(targets.dtype).clamp(-LARGEST, LARGEST)


def affine_grid(theta: Float[Tensor, "b 6"], targets: Float[Tensor, "p 2"]) -> Float[Tensor, "b p 2"]:
    """Places (x, y) of the input for each point of the output; parameters row by row."""
    matrix = bounded(theta, targets).view(-1, 2, 3)
    with torch.autocast(theta.device.type, enabled=False):  # bfloat16 cannot tell neighbouring pixels apart
        # x and y in two planes: one large product, and the sampler's faster path
        found: Tensor = F.linear(matrix, F.pad(targets, (0, 1), value=1.0))
    return found.mT


def similarity_grid(theta: Float[Tensor, "b 4"], targets: Float[Tensor, "p 2"]) -> Float[Tensor, "b p 2"]:
    """An affine grid that keeps angles: the parameters are (s cos a, s sin a, x, y)."""
    cosine, sine, x, y = theta.unbind(1)
    return affine_grid(torch.stack([cosine, -sine, x, sine, cosine, y], 1), targets)


def projective_grid(theta: Float[Tensor, "b 8"], targets: Float[Tensor, "p 2"]) -> Float[Tensor, "b p 2"]:
    """A homography; the ninth number of its matrix is 1."""
    matrix = F.pad(bounded(theta, targets), (0, 1), value=1.0).view(-1, 3, 3)
    with torch.autocast(theta.device.type, enabled=False):
        found = F.linear(matrix, F.pad(targets, (0, 1), value=1.0))
    depth = found[:, 2:]
    ahead = depth >= HORIZON
    # what is not selected is not divided either, or its gradient would not be finite
    return torch.where(ahead, found[:, :2] / torch.where(ahead, depth, 1.0), OUTSIDE).mT


def spline_grid(
    theta: Float[Tensor, "b n2"], targets: Float[Tensor, "p 2"], basis: Float[Tensor, "p n"]
) -> Float[Tensor, "b p 2"]:
    """A thin plate spline; the parameters are the displacements (x, y) of the control points, row by row."""
    moved = bounded(theta, targets).unflatten(1, (-1, 2))
    with torch.autocast(theta.device.type, enabled=False):
        found: Tensor = targets.mT + F.linear(moved.mT.contiguous(), basis.to(targets.dtype))
    return found.mT


def spline_basis(targets: Float[Tensor, "p 2"], control: Float[Tensor, "n 2"]) -> Float[Tensor, "p n"]:
    """B: for each control point the spline that is 1 there and 0 at the others, at all targets, in float64."""
    targets, control = targets.double(), control.double()

    def terms(places: Tensor) -> Tensor:
        squares = (places[:, None] - control).square().sum(-1)
        return torch.cat([torch.xlogy(squares, squares), F.pad(places, (1, 0), value=1.0)], 1)

    count = len(control)
    system = torch.zeros(count + 3, count + 3, dtype=torch.float64)
    system[:count], system[count:, :count] = terms(control), terms(control)[:, count:].T
    return terms(targets) @ torch.linalg.solve(system, torch.eye(count + 3, count, dtype=torch.float64))


class Grid(nn.Module):
    """The places of the input that an output of a fixed size shows, as a function of parameters.

    Args:
        size: rows and columns of the output.

    Raises:
        InvalidInput: a size below 1; parameters of another number than `identity` has.
    """

    identity: tuple[float, ...]
    """The parameters with which the output is the input."""
    targets: Float[Tensor, "p 2"]

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        check_sizes(rows=size[0], columns=size[1])
        self.size = (size[0], size[1])
        self.register_buffer("targets", points(*self.size), persistent=False)

    def forward(self, theta: Float[Tensor, "b n"]) -> Float[Tensor, "b y x 2"]:
        if theta.ndim != 2 or theta.shape[1] != len(self.identity):
            raise InvalidInput(f"parameters must be (batch, {len(self.identity)}), not {tuple(theta.shape)}")
        precise = torch.promote_types(theta.dtype, torch.float32)
        return self.places(theta, self.targets.to(precise)).unflatten(1, self.size)

    def places(self, theta: Float[Tensor, "b n"], targets: Float[Tensor, "p 2"]) -> Float[Tensor, "b p 2"]:
        """The place of the input for each target."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"size={self.size}"


class AffineGrid(Grid):
    """Six parameters: shift, rotation, scale and shear."""

    identity: ClassVar[tuple[float, ...]] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # type: ignore[misc]

    def places(self, theta: Float[Tensor, "b n"], targets: Float[Tensor, "p 2"]) -> Float[Tensor, "b p 2"]:
        return affine_grid(theta, targets)


class SimilarityGrid(Grid):
    """Four parameters: shift, rotation and scale."""

    identity: ClassVar[tuple[float, ...]] = (1.0, 0.0, 0.0, 0.0)  # type: ignore[misc]

    def places(self, theta: Float[Tensor, "b n"], targets: Float[Tensor, "p 2"]) -> Float[Tensor, "b p 2"]:
        return similarity_grid(theta, targets)


class ProjectiveGrid(Grid):
    """Eight parameters: a plane seen from another side."""

    identity: ClassVar[tuple[float, ...]] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)  # type: ignore[misc]

    def places(self, theta: Float[Tensor, "b n"], targets: Float[Tensor, "p 2"]) -> Float[Tensor, "b p 2"]:
        return projective_grid(theta, targets)


class SplineGrid(Grid):
    """A thin plate spline; two parameters for each control point.

    Args:
        size: rows and columns of the output.
        control: control points along each side, at least 2.

    Raises:
        InvalidInput: a size below 1, fewer than two control points along a side.
    """

    basis: Float[Tensor, "p n"]

    def __init__(self, size: tuple[int, int], *, control: int = 4) -> None:
        super().__init__(size)
        if control < 2:
            raise InvalidInput(f"control must be at least 2 points along each side, not {control}")
        self.identity = (0.0,) * (2 * control**2)
        self.register_buffer("basis", spline_basis(self.targets, points(control, control)), persistent=False)

    def places(self, theta: Float[Tensor, "b n"], targets: Float[Tensor, "p 2"]) -> Float[Tensor, "b p 2"]:
        return spline_grid(theta, targets, self.basis)
