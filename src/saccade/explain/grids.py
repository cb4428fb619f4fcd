"""Feature maps in the outputs of layers: (b, c, y, x), (b, y, x, c) as in Swin, or tokens (b, n, c) as in ViT.

A grid has the aspect of the image. Tokens before the grid, such as class, distillation and register tokens, are not
part of it.
"""

from math import isqrt, log
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

MOST_BEFORE = 8  # tokens before the grid: a class token and up to seven others
NARROWEST = log(1.4)  # the sides of a cell may differ that much, since sizes are rounded


class Grid(NamedTuple):
    """Where a feature map stands in a tensor: the axes "bcyx", "byxc" or "bnc", and the tokens before it."""

    axes: str
    y: int
    x: int
    before: int = 0

    def read(self, tensor: Tensor) -> Float[Tensor, "b c y x"]:
        if self.axes == "bcyx":
            return tensor
        if self.axes == "bnc":
            tensor = tensor[:, self.before :].unflatten(1, (self.y, self.x))
        return tensor.movedim(-1, 1)

    def write(self, tensor: Tensor, maps: Float[Tensor, "b c y x"]) -> Tensor:
        """The tensor with other maps; the tokens before the grid are kept."""
        if self.axes == "bcyx":
            return maps
        if self.axes == "byxc":
            return maps.movedim(1, -1)
        return torch.cat([tensor[:, : self.before], maps.flatten(2).mT], 1)


def grid_of(tensor: Tensor, height: int, width: int, last: bool = False) -> Grid | None:
    """The grid in a layer's output, for images of this size; None if it has no spatial extent.

    Of (b, c, y, x) and (b, y, x, c), the one whose grid is nearer to the image's aspect; if both are as near, the
    first, or the second with `last`. Of tokens, the fewest before the grid, preferring a grid of square cells that
    divides the image.
    """
    shape = tensor.shape
    if tensor.ndim == 4:
        forms = [Grid("bcyx", shape[2], shape[3]), Grid("byxc", shape[1], shape[2])]
        found = [(_skew(grid, height, width), grid) for grid in (forms[::-1] if last else forms)]
    elif tensor.ndim == 3 and shape[2] > 1:  # not (b, c, 1), channels that a pooling left
        tokens = [_tokens(shape[1], before, height, width) for before in range(min(MOST_BEFORE, shape[1] - 1) + 1)]
        found = [(float(not _exact(grid, height, width)), grid) for grid in tokens if grid is not None]
    else:
        return None
    spatial = [(skew, grid) for skew, grid in found if grid.y * grid.x > 1 and _skew(grid, height, width) < NARROWEST]
    return min(spatial, key=lambda pair: pair[0])[1] if spatial else None


def scaled(large: Float[Tensor, "*b Y X"], maps: Float[Tensor, "*b y x"]) -> Float[Tensor, "*b Y X"]:
    """Enlarged maps, each from 0 to 1; 0 where the map itself has no contrast, whose enlargement may have some, by
    rounding."""
    low, high = large.amin((-2, -1), keepdim=True), large.amax((-2, -1), keepdim=True)
    contrast = (maps.amax((-2, -1)) > maps.amin((-2, -1)))[..., None, None]
    return torch.where(contrast, (large - low) / torch.where(high > low, high - low, 1), 0)


def _tokens(count: int, before: int, height: int, width: int) -> Grid | None:
    """The grid of `count` - `before` tokens, if they fill one of the image's aspect."""
    cells = count - before
    near = isqrt(cells * height // width)
    for y in (near, near + 1):
        if y and cells % y == 0 and _skew(Grid("bnc", y, cells // y), height, width) < NARROWEST:
            return Grid("bnc", y, cells // y, before)
    return None


def _exact(grid: Grid, height: int, width: int) -> bool:
    return height % grid.y == 0 and width % grid.x == 0 and height // grid.y == width // grid.x


def _skew(grid: Grid, height: int, width: int) -> float:
    """How far a grid's cells are from squares; infinite for a grid finer than the image."""
    if not 0 < grid.y <= height or not 0 < grid.x <= width:
        return float("inf")
    return abs(log(height * grid.x / (width * grid.y)))
