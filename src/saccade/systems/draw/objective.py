"""The variational bound of DRAW. Gregor et al. 2015, arXiv:1502.04623, equations 9 to 12, in nats.

    -log p(x) <= E_q[-log p(x | z)] + sum_t KL(Q(z_t | h^enc_t) || N(0, 1))
    -log p(x) <= -E_q[log 1/K sum_k p(x, z_k) / q(z_k | x)]         Burda et al. 2016, arXiv:1509.00519, equation 8

The second is at most the first, and falls towards -log p(x) as the number K of samples grows.
"""

import math
import zlib
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.core.recipe import Loss, Part
from saccade.tasks.digits import Batch


class Terms(NamedTuple):
    """The bounds of each image, in nats."""

    reconstruction: Float[Tensor, " b"]
    """-log p(x | z), the mean over the samples."""
    divergence: Float[Tensor, " b"]
    """Of the posterior from the prior, the mean over the samples."""
    weighted: Float[Tensor, " b"]
    """The importance-weighted bound."""


def negative_log_likelihood(canvas: Float[Tensor, "b y x"], images: Float[Tensor, "b y x"]) -> Float[Tensor, " b"]:
    """-log p(x | z) of images of zeros and ones, given the log-odds of each pixel; at least in float32."""
    canvas = canvas.to(torch.promote_types(canvas.dtype, torch.float32))
    each = F.binary_cross_entropy_with_logits(canvas, images.to(canvas.dtype), reduction="none")
    return each.flatten(1).sum(1)


def bounds(model: Any, images: Float[Tensor, "b y x"], noise: Float[Tensor, "b k t z"]) -> Terms:
    """The bounds from K samples of the latents."""
    reconstructions, divergences, weights = [], [], []
    for sample in noise.unbind(1):
        found = model(images, sample)
        reconstruction = negative_log_likelihood(found.canvas, images)
        reconstructions.append(reconstruction)
        divergences.append(found.divergence.sum(1))
        weights.append(-reconstruction - found.log_ratio)
    weighted = math.log(len(weights)) - torch.stack(weights).logsumexp(0)
    return Terms(torch.stack(reconstructions).mean(0), torch.stack(divergences).mean(0), weighted)


def noise_of(model: Any, images: Float[Tensor, "b y x"], samples: int, seed: int) -> Float[Tensor, "b k t z"]:
    """Standard normal numbers for each image, from the seed and its pixels, not from the rest of the batch."""
    rows = []
    for pixels in (255 * images).nan_to_num().round().to(torch.uint8).cpu().numpy():
        generator = torch.Generator().manual_seed(zlib.crc32(pixels.tobytes(), seed))
        rows.append(torch.randn(samples, model.steps, model.latent_size, generator=generator, dtype=torch.float64))
    return torch.stack(rows).to(images.device, model.first_canvas.dtype)


def bound(model: Any, batch: Batch, step: int) -> Loss:
    """The bound of one sample, in nats per image. Validation always draws the same."""
    images = batch.images[:, 0]
    if model.training:
        noise = torch.randn(len(images), model.steps, model.latent_size, device=images.device)
    else:
        noise = noise_of(model, images, 1, 0)[:, 0]
    found = model(images, noise)
    return Loss(
        {
            "reconstruction": Part(negative_log_likelihood(found.canvas, images).mean(), len(images)),
            "divergence": Part(found.divergence.sum(1).mean(), len(images)),
        }
    )
