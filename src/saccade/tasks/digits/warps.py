"""Warped digits: for each pixel of the new image, the place in the digit that it shows, and the bilinear sampler.

Places are (x, y) in pixels: x to the right, y down, (0, 0) the centre of the upper left pixel.
"""

from functools import cache

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from saccade.tasks.digits.mnist import SIDE

CENTRE = (SIDE - 1) / 2
POINTS = 4  # control points of the spline along each side


@cache
def pixels(size: int) -> Float[Tensor, "p 2"]:
    """The places of the pixels of a square image, row by row, in float64."""
    steps = torch.arange(size, dtype=torch.float64)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2)


def sampled(images: UInt8[Tensor, "b 28 28"], places: Float[Tensor, "b p 2"]) -> Float[Tensor, "b y x"]:
    """Square images of the digits at these places, in [0, 1]: bilinear between pixels, black outside the digit."""
    grid = (2 / (SIDE - 1) * places - 1).clamp(-4, 4).float()  # the corners' pixels have their centres at -1 and 1
    size = round(places.shape[1] ** 0.5)
    found = F.grid_sample(
        images[:, None] / 255, grid.view(-1, size, size, 2), padding_mode="zeros", align_corners=True
    )  # fmt: skip
    return found[:, 0]


def similar(
    size: int, angle: Float[Tensor, " b"], scale: Float[Tensor, " b"], centre: Float[Tensor, "b 2"]
) -> Float[Tensor, "b p 2"]:
    """Places for a digit turned by an angle (radians, counter-clockwise), scaled, its centre moved to `centre`:

    source = R(angle) (pixel - centre) / scale + the digit's centre
    """
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    turn = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
    return (pixels(size) - centre[:, None]) @ turn.mT + CENTRE


def projected(moved: Float[Tensor, "b 4 2"]) -> Float[Tensor, "b p 2"]:
    """Places for a digit whose corners (upper left, upper right, lower left, lower right) are moved to these places.

    The homography from the moved corners (x, y) back to the digit's (u, v) solves, with w = g x + h y + 1,

        a x + b y + c = u w,  d x + e y + f = v w

    Beyond its horizon, where w has another sign than at the middle of the moved corners, there is nothing.
    """
    x, y = moved.unbind(-1)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    target = moved.new_tensor([[0, 0], [SIDE - 1, 0], [0, SIDE - 1], [SIDE - 1, SIDE - 1]]).expand_as(moved)
    u, v = target.unbind(-1)
    rows = [
        torch.stack([x, y, one, none, none, none, -x * u, -y * u], -1),
        torch.stack([none, none, none, x, y, one, -x * v, -y * v], -1),
    ]
    solved = torch.linalg.solve(torch.cat(rows, 1), torch.cat([u, v], 1))
    matrix = torch.cat([solved, one[:, :1]], 1).view(-1, 3, 3)
    points = F.pad(pixels(SIDE), (0, 1), value=1.0) @ matrix.mT
    middle = (F.pad(moved.mean(1), (0, 1), value=1.0) * matrix[:, 2]).sum(1, keepdim=True)
    depth = points[..., 2]
    found = points[..., :2] / depth[..., None]
    return torch.where(((depth * middle > 0) & found.isfinite().all(-1))[..., None], found, -SIDE)


def convex(corners: Float[Tensor, "*b 4 2"]) -> Bool[Tensor, "*b"]:
    """Whether the corners (upper left, upper right, lower left, lower right) are those of a convex quadrilateral that
    is not mirrored."""
    around = corners[..., [0, 1, 3, 2], :]
    sides = around.roll(-1, -2) - around
    after = sides.roll(-1, -2)
    turns: Tensor = sides[..., 0] * after[..., 1] - sides[..., 1] * after[..., 0]
    return (turns > 0).all(-1)


@cache
def spline() -> Float[Tensor, "p 16"]:
    """The thin plate spline through the control points, for displacements that are 1 at one of them.

    The points are a regular grid from corner to corner. Bookstein 1989, 10.1109/34.24792: f(p) = a + B p + sum_i
    w_i U(|p - c_i|) with U(r) = r^2 log r^2, sum_i w_i = 0 and sum_i w_i c_i = 0, f(c_i) given.
    """
    points = pixels(POINTS) * (SIDE - 1) / (POINTS - 1)
    count = len(points)

    def kernel(ones: Tensor) -> Tensor:
        squares = (ones[:, None] - points).square().sum(-1)
        return torch.xlogy(squares, squares)

    linear = F.pad(points, (1, 0), value=1.0)
    system = torch.zeros(count + 3, count + 3, dtype=torch.float64)
    system[:count, :count], system[:count, count:], system[count:, :count] = kernel(points), linear, linear.T
    right = torch.eye(count + 3, count, dtype=torch.float64)
    weights = torch.linalg.solve(system, right)
    found: Tensor = torch.cat([kernel(pixels(SIDE)), F.pad(pixels(SIDE), (1, 0), value=1.0)], 1) @ weights
    return found


def bent(scale: Float[Tensor, " b"], moved: Float[Tensor, "b 16 2"]) -> Float[Tensor, "b p 2"]:
    """Places for a digit scaled about its centre, in an image bent by a thin plate spline.

    A pixel at a control point shows what was at that point plus its displacement.
    """
    places = pixels(SIDE) + spline() @ moved
    return (places - CENTRE) / scale[:, None, None] + CENTRE
