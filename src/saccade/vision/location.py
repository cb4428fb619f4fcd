"""Where to look next: a Gaussian around a learned mean. Mnih et al. 2014, arXiv:1406.6247, sections 3.1 and 4.

    l ~ N(mu, sigma^2 I),   mu = tanh(4 (W h + b) / sqrt(n))   log p(l) = -|l - mu|^2 / (2 sigma^2) - log(2 pi sigma^2)

h state of the network, with n units, l location (x, y), sigma fixed. In training l is sampled, in evaluation it is the
mean. The paper's mu is linear; tanh keeps it in the image, and the factor 4 / sqrt(n) slows its random walk: Adam moves
each weight by about the learning rate, however noisy the gradient is, and this one is mostly noise.

A sampled location is a constant to everything behind it: no gradient passes from the glimpse to mu. The head learns
through log p(l) alone (`ScoreFunction`), in which l is a constant too: l = mu + sigma e with a gradient through mu
would make log p(l) a function of e alone, without a gradient.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap


class Chosen(NamedTuple):
    """A location of each image, without gradient, and its log-probability."""

    location: Float[Tensor, "b 2"]
    log_prob: Float[Tensor, " b"]


class GaussianLocation(nn.Module):
    """Location head (Mnih et al. 2014): sampled in training, the mean in evaluation.

    Args:
        hidden_size: features of the state that chooses.
        deviation: sigma, where the image reaches from -1 to 1.

    Raises:
        InvalidInput: a size below 1; a deviation that is not above 0 and finite.
    """

    def __init__(self, hidden_size: int, *, deviation: float = 0.1) -> None:
        super().__init__()
        if hidden_size < 1:
            raise InvalidInput(f"hidden_size must be at least 1, not {hidden_size}")
        if not 0 < deviation < math.inf:
            raise InvalidInput(f"a deviation must be above 0 and finite, not {deviation}")
        self.deviation = deviation
        self.mean = nn.Linear(hidden_size, 2)
        self.locations = Tap("b 2")
        nn.init.normal_(self.mean.weight, std=0.25)  # at first it looks at places around the centre
        nn.init.zeros_(self.mean.bias)

    def means(self, hidden: Float[Tensor, "b h"]) -> Float[Tensor, "b 2"]:
        """mu: where it looks in evaluation."""
        return (4 / math.sqrt(self.mean.in_features) * self.mean(hidden)).tanh()  # type: ignore[no-any-return]

    def forward(self, hidden: Float[Tensor, "b h"], generator: torch.Generator | None = None) -> Chosen:
        """Choose a location.

        Args:
            hidden: detached by the caller if the head alone is to learn from its choices.
            generator: makes the sample reproducible.
        """
        mean = self.means(hidden)
        location = mean.detach()
        if self.training:
            noise = torch.randn(location.shape, generator=generator, device=location.device, dtype=location.dtype)
            location = location + self.deviation * noise
        location = self.locations(location)
        away = ((location - mean) / self.deviation).square().sum(-1)
        return Chosen(location, -away / 2 - math.log(2 * math.pi * self.deviation**2))
