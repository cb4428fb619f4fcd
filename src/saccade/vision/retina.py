"""Retina-like glimpses. Mnih, Heess, Graves & Kavukcuoglu 2014, arXiv:1406.6247, section 3.1.

    rho(x, l) = (p_0, ..., p_{k-1}),   p_s = the window of g 2^s x g 2^s pixels around l, in means of
                                       blocks of 2^s x 2^s

x image, l location, g patch size, k scales. Each window is twice as wide as the one before and is reduced to the same
g x g numbers: sharp in the centre, blurred around it. Outside the image everything is zero.

Corners: l = (x, y), x to the right and y down. (0, 0) is the centre of the image, (-1, -1) the corner of the first
pixel and (1, 1) the corner of the last, not the centres of these pixels (`align_corners=False` in torch). The window of
scale s starts (l + 1) / 2 * size - g 2^s / 2 pixels from the corner. Where that is a whole number the patch of scale 0
is a crop, up to the rounding of l; elsewhere pixels are interpolated bilinearly.

A mean over a block and an interpolation are both convolutions, so their order does not matter. In a small image, the
image is averaged once, and a glimpse samples g x g points of each scale. In an image with twice as many pixels as
the windows, a glimpse samples every pixel of its windows and averages those, so that its cost does not depend on the
size of the image. Both take one call of the sampler for all images and scales. A glimpse is differentiable in the
image, and piecewise in the location. In RAM no gradient goes through the location, which is sampled.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap

MOST = 8  # scales: the widest window is 128 patches wide


class Blurred(NamedTuple):
    """Images averaged over the blocks of each scale, on one canvas, and where the points of a patch lie on it."""

    images: Float[Tensor, "b*s c y x"]
    points: Float[Tensor, "s g g 2"]
    """Places of the points around l = (0, 0), in the sampler's coordinates of the canvas."""
    factor: Float[Tensor, " 2"]
    """Size of the image over that of the canvas."""
    reach: Float[Tensor, " 2"]
    """Further than this from the centre there is nothing to see."""


class Sharp(NamedTuple):
    """Images as they are, and where the pixels of all windows lie."""

    images: Float[Tensor, "b c y x"]
    points: Float[Tensor, "p 2"]
    """Places of the pixels around l = (0, 0), window by window and row by row, in the sampler's coordinates."""
    reach: Float[Tensor, " 2"]
    """Further than this from the centre there is nothing to see."""


def prepared(images: Float[Tensor, "b c y x"], patch_size: int, scales: int) -> Blurred | Sharp:
    """All of a glimpse that does not depend on the location, in the form that costs less."""
    pixels = sum((patch_size * 2**scale) ** 2 for scale in range(scales))
    form = sharp if 2 * pixels <= images.shape[2] * images.shape[3] else blurred
    return form(images, patch_size, scales)


def sharp(images: Float[Tensor, "b c y x"], patch_size: int, scales: int) -> Sharp:
    """For glimpses that average what they sampled."""
    sizes = torch.tensor([images.shape[3], images.shape[2]], dtype=images.dtype, device=images.device)
    windows = []
    for window in (patch_size * 2**scale for scale in range(scales)):
        from_centre = torch.arange(1 - window, window, 2, dtype=images.dtype, device=images.device)  # in half pixels
        windows.append(torch.cartesian_prod(from_centre, from_centre).flip(-1))
    return Sharp(images, torch.cat(windows) / sizes, 2 + patch_size * 2 ** (scales - 1) / sizes)


def blurred(images: Float[Tensor, "b c y x"], patch_size: int, scales: int) -> Blurred:
    """For glimpses that sample averages."""
    high, wide = images.shape[2:]
    margin = 2 ** (scales - 1) - 1  # a block may start before the first pixel
    level = F.pad(images, (margin, 0, margin, 0)) if margin else images
    levels = [level]
    for step in (2**scale for scale in range(scales - 1)):
        for pad in ((0, 0, 0, step), (0, step, 0, 0)):  # the next pixels below, then to the right
            near = level[:, :, pad[3] :, pad[1] :]
            level = (level + F.pad(near, pad)[..., : level.shape[2], : level.shape[3]]) / 2
        levels.append(level)
    sizes = torch.tensor([wide, high], dtype=images.dtype, device=images.device)
    canvas, block = sizes + margin, 2.0 ** torch.arange(scales, dtype=images.dtype, device=images.device)[:, None]
    rank = torch.arange(patch_size, dtype=images.dtype, device=images.device)
    from_centre = block * (2 * rank - patch_size) + 2 * margin + 1
    across, down = ((size + from_centre) / full - 1 for size, full in zip(sizes, canvas, strict=True))
    shape = (scales, patch_size, patch_size)
    points = torch.stack([across[:, None].expand(shape), down[:, :, None].expand(shape)], -1)
    reach = 2 + patch_size * block[-1] / sizes
    return Blurred(torch.stack(levels, 1).flatten(0, 1), points, sizes / canvas, reach)


def glimpse(
    prepared: Blurred | Sharp, locations: Float[Tensor, "b 2"], patch_size: int, scales: int
) -> Float[Tensor, "b s c g g"]:
    """The patches of all scales around a location of each image, in one call of the sampler."""
    images, points, reach = prepared.images, prepared.points, prepared.reach
    near = torch.minimum(torch.maximum(locations.to(points.dtype), -reach), reach)
    if isinstance(prepared, Blurred):
        grid = (near * prepared.factor)[:, None, None, None] + points
        found = sampled(images, grid.flatten(0, 1))
        return found.view(*grid.shape[:2], *found.shape[1:])
    pixels = sampled(images, (near[:, None] + points)[:, None])[:, :, 0]
    windows = pixels.split([(patch_size * 2**scale) ** 2 for scale in range(scales)], -1)
    sharpest, *wider = [
        window.unflatten(-1, (patch_size * 2**scale, patch_size * 2**scale)) for scale, window in enumerate(windows)
    ]
    return torch.stack([sharpest, *(F.avg_pool2d(one, 2**scale) for scale, one in enumerate(wider, 1))], 1)


def sampled(images: Float[Tensor, "b c y x"], grid: Float[Tensor, "b h w 2"]) -> Float[Tensor, "b c h w"]:
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def centres(locations: Float[Tensor, "*b 2"], size: tuple[int, int]) -> Float[Tensor, "*b 2"]:
    """Locations in pixels from the corner of the first pixel: x to the right and y down.

    Args:
        size: rows and columns of the image.
    """
    return (locations + 1) / 2 * locations.new_tensor([size[1], size[0]])


def composed(patches: Float[Tensor, "s c g g"]) -> Float[Tensor, "c y x"]:
    """A glimpse as one image of the widest window: each patch at its resolution, the sharpest in the centre.

    The sharpest patch, if its size is odd, lies half a pixel further up and left than where it was seen.
    """
    size = patches.shape[-1] * 2 ** (len(patches) - 1)
    image = patches.new_zeros(patches.shape[1], size, size)
    for scale, patch in reversed([*enumerate(patches)]):
        enlarged = patch.repeat_interleave(2**scale, -2).repeat_interleave(2**scale, -1)
        start = (size - enlarged.shape[-1]) // 2
        inside = slice(start, start + enlarged.shape[-1])
        image[:, inside, inside] = enlarged
    return image


class Retina(nn.Module):
    """Glimpses of several scales around a location (Mnih et al. 2014).

    `retina(images, locations)` takes (b, c, y, x) and (b, 2), x and y from -1 to 1, and gives (b, scales, c,
    patch_size, patch_size). For many glimpses of the same images call `prepare` once, then `look` for each.

    Args:
        patch_size: rows and columns of each patch.
        scales: number of patches; each covers a window twice as wide as the one before.

    Raises:
        InvalidInput: sizes out of range; images or locations of the wrong shape; images of whole numbers.
    """

    def __init__(self, patch_size: int, *, scales: int = 1) -> None:
        super().__init__()
        if patch_size < 1:
            raise InvalidInput(f"patch_size must be at least 1, not {patch_size}")
        if not 1 <= scales <= MOST:
            raise InvalidInput(f"scales must be from 1 to {MOST}, not {scales}")
        self.patch_size, self.scales = patch_size, scales
        self.patches = Tap("b s c y x")

    def windows(self) -> list[int]:
        """Rows and columns of the window of each scale, in pixels."""
        return [self.patch_size * 2**scale for scale in range(self.scales)]

    def prepare(self, images: Float[Tensor, "b c y x"]) -> Blurred | Sharp:
        if images.ndim != 4 or 0 in images.shape[1:]:
            raise InvalidInput(
                f"images must be (batch, channels, rows, columns), with at least one pixel, not {tuple(images.shape)}"
            )
        if not images.is_floating_point():
            raise InvalidInput(f"images must be floating-point numbers, not {images.dtype}; try images / 255")
        return prepared(images, self.patch_size, self.scales)

    def look(self, prepared: Blurred | Sharp, locations: Float[Tensor, "b 2"]) -> Float[Tensor, "b s c g g"]:
        batch = len(prepared.images) // (self.scales if isinstance(prepared, Blurred) else 1)
        if locations.shape != (batch, 2):
            raise InvalidInput(f"locations must be ({batch}, 2): x and y of each image, not {tuple(locations.shape)}")
        return self.patches(glimpse(prepared, locations, self.patch_size, self.scales))  # type: ignore[no-any-return]

    def forward(self, images: Float[Tensor, "b c y x"], locations: Float[Tensor, "b 2"]) -> Float[Tensor, "b s c g g"]:
        return self.look(self.prepare(images), locations)
