"""What a spatial transformer does to an image: where its grid lies in the input, and the output."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.explain.pictures.strip import Strip

POINTS = 33  # of a line
AROUND = 0.35  # brightness of what lies outside an image


def target_lines(control: int) -> Float[Tensor, "l p 2"]:
    """Lines of the output, from -1 to 1: a lattice of `control` lines each way, and a mark that points to its top."""
    along, at = torch.linspace(-1, 1, POINTS), torch.linspace(-1, 1, control)
    across = torch.cartesian_prod(at, along).flip(-1).view(control, POINTS, 2)
    mark = torch.stack([0.12 * along, 0.12 * along.abs() - 0.8], -1)
    return torch.cat([across, across.flip(-1), mark[None]])


def mapped(places: Float[Tensor, "Y X 2"], lines: Float[Tensor, "l p 2"]) -> Float[Tensor, "l p 2"]:
    """Where these lines of the output lie in the input."""
    found = F.grid_sample(places.permute(2, 0, 1)[None], lines[None], align_corners=True, padding_mode="border")
    return found[0].permute(1, 2, 0)


def in_pixels(lines: Float[Tensor, "l p 2"], size: int) -> Float[Tensor, "l p 2"]:
    """From the corner of the first pixel."""
    return (lines + 1) / 2 * (size - 1) + 0.5


def strip(
    image: Float[Tensor, "y x"], places: Float[Tensor, "Y X 2"], output: Float[Tensor, "Y X"], title: str, control: int
) -> Strip:
    """The input, the grid on it, and the output, with a margin where the grid extends beyond the input."""
    size, lines = len(image), target_lines(control)
    source = in_pixels(mapped(places, lines), size)
    beyond = max(float((source - size).max()), float(-source.min()), 0.0)
    margin = min(math.ceil(beyond), size // 2) + 1
    images = torch.stack([F.pad(one, (margin,) * 4, value=AROUND) for one in (image, image, output)])
    laid = [[], source + margin, in_pixels(lines, size) + margin]
    return Strip("transformer", images, labels=["input", "grid on the input", "output"], title=title, lines=laid)
