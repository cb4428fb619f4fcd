"""RandAugment. Cubuk et al. 2020, arXiv:1909.13719, with the operations and ranges of DeiT (Touvron et al. 2021).

For each image n times: one of 15 operations, each as probable, with probability 1/2, at a strength m of 10, drawn
from a normal distribution with the standard deviation 0.5.

    auto-contrast, equalize, invert
    posterize      4 - floor(4 m / 10) bits are left         solarize       pixels from 256 - floor(25.6 m) are inverted
    solarize-add   floor(11 m) more where below 128          rotate         30 m / 10 degrees to either side
    colour, contrast, brightness, sharpness                  1 +- 0.9 m / 10
    shear x, y     0.3 m / 10 to either side                 translate x, y   0.45 m / 10 of the side, either way

What comes in from outside is
the image's mean. The strengths are drawn here; the operators are kornia's.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.core.errors import require

SPREAD = 0.5
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601
Operation = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(images, strengths from 0 to 1, signs) -> images."""


def rand_augment(
    images: Float[Tensor, "b c y x"], generator: torch.Generator, operations: int = 2, magnitude: float = 9.0
) -> Float[Tensor, "b c y x"]:
    """The images after random operations, from 0 to 1.

    Args:
        images: of one batch, from 0 to 1.
        generator: what is drawn from.
        operations: n.
        magnitude: the mean of m.

    Raises:
        MissingExtra: kornia is not installed.
    """
    if not operations:
        return images
    table, count = _operations(require("kornia", "vision")), len(images)
    for _ in range(operations):
        chosen = torch.randint(len(table), (count,), generator=generator)
        applied = torch.rand(count, generator=generator) < 0.5
        strength = ((magnitude + SPREAD * torch.randn(count, generator=generator)) / 10).clamp(0, 1)
        sign = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
        images = images.clone()
        for number, operation in enumerate(table.values()):
            rows = (applied & (chosen == number)).nonzero().flatten()
            if len(rows):
                images[rows] = operation(images[rows], strength[rows], sign[rows]).clamp(0, 1)
    return images


def _operations(kornia: Any) -> dict[str, Operation]:
    """The operations by their names."""

    def warp(matrix: Callable[[Tensor, int, int], Tensor]) -> Operation:
        def apply(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
            height, width = images.shape[2:]
            moves = about_the_middle(matrix(strength * sign, height, width), height, width)
            mean = images.mean((1, 2, 3), keepdim=True)  # the border is 0
            inside = kornia.geometry.transform.warp_affine(images - mean, moves, (height, width), align_corners=True)
            found: Tensor = inside + mean
            return found

        return apply

    def factor(strength: Tensor, sign: Tensor) -> Float[Tensor, " b"]:
        return 1 + 0.9 * strength * sign

    return {
        "auto-contrast": lambda images, strength, sign: stretched(images),
        "equalize": lambda images, strength, sign: kornia.enhance.equalize(images),
        "invert": lambda images, strength, sign: 1 - images,
        "rotate": warp(lambda by, height, width: turn(30 * by)),
        "posterize": lambda images, strength, sign: posterized(images, 4 - (4 * strength).floor()),
        "solarize": lambda images, strength, sign: kornia.enhance.solarize(
            images, (256 - (256 * strength).floor()) / 255
        ),
        "solarize-add": lambda images, strength, sign: torch.where(
            images < 128 / 255, images + ((110 * strength).floor() / 255)[:, None, None, None], images
        ),
        "colour": lambda images, strength, sign: blended(grey(images), images, factor(strength, sign)),
        "contrast": lambda images, strength, sign: blended(
            grey(images).mean((1, 2, 3), keepdim=True), images, factor(strength, sign)
        ),
        "brightness": lambda images, strength, sign: images * factor(strength, sign)[:, None, None, None],
        "sharpness": lambda images, strength, sign: kornia.enhance.sharpness(images, factor(strength, sign)),
        "shear-x": warp(lambda by, height, width: affine(x_by_y=0.3 * by)),
        "shear-y": warp(lambda by, height, width: affine(y_by_x=0.3 * by)),
        "translate-x": warp(lambda by, height, width: affine(x=0.45 * by * width)),
        "translate-y": warp(lambda by, height, width: affine(y=0.45 * by * height)),
    }


def grey(images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 1 y x"]:
    """The brightness of the images."""
    if images.shape[1] == 1:
        return images
    found: Tensor = torch.einsum("bcyx,c->byx", images, images.new_tensor(GREY))[:, None]
    return found


def blended(
    others: Float[Tensor, "b #c #y #x"], images: Float[Tensor, "b c y x"], factor: Float[Tensor, " b"]
) -> Float[Tensor, "b c y x"]:
    """Factor 0: the others; 1: the images; above 1: away from the others."""
    return others + factor[:, None, None, None] * (images - others)


def stretched(images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
    """Each channel from 0 to 1; one without contrast as it is."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images)


def posterized(images: Float[Tensor, "b c y x"], bits: Float[Tensor, " b"]) -> Float[Tensor, "b c y x"]:
    """The highest bits of each byte; kornia's rounds some bytes down before it cuts them."""
    step = (2 ** (8 - bits))[:, None, None, None]
    return ((images * 255).round() / step).floor() * step / 255


def turn(degrees: Float[Tensor, " b"]) -> Float[Tensor, "b 2 3"]:
    """Rotations."""
    cosine, sine = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    none = torch.zeros_like(degrees)
    return torch.stack([torch.stack([cosine, -sine, none], -1), torch.stack([sine, cosine, none], -1)], 1)


def affine(
    *, x_by_y: Tensor | None = None, y_by_x: Tensor | None = None, x: Tensor | None = None, y: Tensor | None = None
) -> Float[Tensor, "b 2 3"]:
    """Matrices of a shear or a shift."""
    given = next(part for part in (x_by_y, y_by_x, x, y) if part is not None)
    found = torch.eye(2, 3, dtype=given.dtype).repeat(len(given), 1, 1)
    for place, part in (((0, 1), x_by_y), ((1, 0), y_by_x), ((0, 2), x), ((1, 2), y)):
        if part is not None:
            found[(slice(None), *place)] = part
    return found


def about_the_middle(matrices: Float[Tensor, "b 2 3"], height: int, width: int) -> Float[Tensor, "b 2 3"]:
    """The same about the middle of the image instead of its first pixel."""
    middle = matrices.new_tensor([(width - 1) / 2, (height - 1) / 2])
    found = matrices.clone()
    found[..., 2] += middle - matrices[..., :2] @ middle
    return found
