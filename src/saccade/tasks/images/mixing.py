"""Two images in one, and images with a hole: mixup, cutmix and random erasing.

    mixup    x' = a x + (1 - a) u,  y' = a y + (1 - a) v             a ~ Beta(alpha, alpha)      arXiv:1710.09412
    cutmix   x' = u within a rectangle of area 1 - a, else x;  y' = a' y + (1 - a') v           arXiv:1905.04899
    erasing  a rectangle of normal noise                                                        arXiv:1708.04896

u, v are another image and its target: those of the batch in reverse, as in DeiT. a' is what is left of x after the
rectangle is cut off at the border. All three are our own, since every draw comes from the generator of the
stream, so that a run can be repeated and resumed.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

AREA, ASPECT = (0.02, 1 / 3), (0.3, 1 / 0.3)  # of an erased rectangle: its share of the image, its height by its width
TRIES = 10  # draws of a rectangle, after which the image stays whole


def mixed(
    images: Float[Tensor, "b c y x"],
    targets: Float[Tensor, "b k"],
    generator: torch.Generator,
    mixup: float = 0.8,
    cutmix: float = 1.0,
) -> tuple[Float[Tensor, "b c y x"], Float[Tensor, "b k"]]:
    """One of the two, with the same share for the whole batch.

    Args:
        images: of one batch.
        targets: the probability of each class.
        generator: what it is drawn from.
        mixup: alpha of mixup; 0: none.
        cutmix: alpha of cutmix; 0: none.
    """
    if not mixup and not cutmix:
        return images, targets
    by_cutting = bool(cutmix) and (not mixup or float(torch.rand((), generator=generator)) < 0.5)
    alpha, draws = cutmix if by_cutting else mixup, numpy_of(generator)
    share = float(draws.beta(alpha, alpha))
    if not by_cutting:
        return share * images + (1 - share) * images.flip(0), share * targets + (1 - share) * targets.flip(0)
    height, width = images.shape[2:]
    cut = math.sqrt(1 - share)
    top, bottom = within(int(draws.integers(height)), int(height * cut), height)
    left, right = within(int(draws.integers(width)), int(width * cut), width)
    images = images.clone()
    images[:, :, top:bottom, left:right] = images.flip(0)[:, :, top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / (height * width)
    return images, share * targets + (1 - share) * targets.flip(0)


def within(middle: int, length: int, size: int) -> tuple[int, int]:
    """The first place of a stretch, and the first after it, around a middle, cut off at 0 and at the size."""
    return max(0, middle - length // 2), min(size, middle + length // 2)


def erased(
    images: Float[Tensor, "b c y x"], generator: torch.Generator, share: float = 0.25
) -> Float[Tensor, "b c y x"]:
    """The images, of which this share has a rectangle of standard normal noise."""
    height, width = images.shape[2:]
    chosen = torch.rand(len(images), generator=generator) < share
    images, draws = images.clone(), numpy_of(generator)
    for row in chosen.nonzero().flatten().tolist():
        for _ in range(TRIES):
            area = draws.uniform(*AREA) * height * width
            aspect = math.exp(draws.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
            high, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < high < height and 0 < wide < width:
                top, left = int(draws.integers(height - high + 1)), int(draws.integers(width - wide + 1))
                hole = images[row, :, top : top + high, left : left + wide]
                hole.copy_(torch.randn(hole.shape, generator=generator))
                break
    return images


def numpy_of(generator: torch.Generator) -> np.random.Generator:
    """Numpy's generator, which has distributions that torch's has not, seeded from torch's."""
    return np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
