"""Mixture density outputs for a pen. Graves 2013, arXiv:1308.0850, section 4.1, equations 15 to 26; bias, 5.4, 61, 62.

    (e^, w^, m^, s^, r^) = y^                     the outputs; one w^ and r^, two m^ and s^ per component
    e = sigmoid(e^)                               the stroke ends at this point
    pi = softmax((1 + b) w^),  mu = m^,  sigma = exp(s^ - b),  rho = tanh(r^)
    Pr(x) = sum_j pi_j N(x1, x2 | mu_j, sigma_j, rho_j) * (e if x3 = 1 else 1 - e)

x1, x2 the pen's offset, x3 whether the stroke ends; b >= 0 the bias, 0 in training: larger values give neater and less
varied writing. The paper's e is sigmoid(-e^), which is the same network with the opposite sign. Densities are those of
the given offsets. s^ is clamped to [-7, 7] and r^ to [-4, 4], so that nothing overflows and no component degenerates to
a point.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

WIDEST, MOST_ALIKE = 7.0, 4.0  # bounds of |s^| and |r^|


class PenMixture(NamedTuple):
    """The distributions of the points of a batch, with n components."""

    end: Float[Tensor, "*b"]
    """e^, the logit of the stroke's end."""
    log_weights: Float[Tensor, "*b n"]
    means: Float[Tensor, "*b n 2"]
    log_deviations: Float[Tensor, "*b n 2"]
    alike: Float[Tensor, "*b n"]
    """r^; the correlation is tanh(r^)."""

    def log_density(self, points: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b"]:
        """log Pr of points (x1, x2, x3), nats."""
        away = (points[..., None, :2] - self.means) * torch.exp(-self.log_deviations)
        first, second = away.unbind(-1)
        # log(1 - rho^2) = -2 log cosh r^, without cancellation for rho near 1
        size = self.alike.abs()
        log_rest = -2 * (size + F.softplus(-2 * size) - math.log(2))
        # Z / (1 - rho^2), with the square completed
        distance = (first - self.alike.tanh() * second).square() * torch.exp(-log_rest) + second.square()
        each = self.log_weights - math.log(2 * math.pi) - self.log_deviations.sum(-1) - 0.5 * (log_rest + distance)
        ends = torch.where(points[..., 2] > 0.5, F.logsigmoid(self.end), F.logsigmoid(-self.end))
        return torch.logsumexp(each, -1) + ends

    def sample(self, uniform: Float[Tensor, "*b 2"], normal: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 3"]:
        """Points, each from two uniform numbers from 0 to 1 and two standard normal ones."""
        up_to = self.log_weights.exp().cumsum(-1)
        chosen = (up_to < uniform[..., :1] * up_to[..., -1:]).sum(-1, keepdim=True).clamp(max=up_to.shape[-1] - 1)
        mean, deviation = (
            part.gather(-2, chosen[..., None].expand(*chosen.shape, 2))[..., 0, :]
            for part in (self.means, self.log_deviations.exp())
        )
        rho = self.alike.tanh().gather(-1, chosen)[..., 0]
        first, second = normal.unbind(-1)
        # the ellipse of equation 24
        drawn = torch.stack([first, rho * first + (1 - rho.square()).sqrt() * second], -1)
        ends = (uniform[..., 1:] < self.end[..., None].sigmoid()).to(drawn.dtype)
        return torch.cat([mean + deviation * drawn, ends], -1)


def pen_mixture(outputs: Float[Tensor, "*b outputs"], bias: float = 0.0) -> PenMixture:
    """The distribution given by 1 + 6 n outputs, with a bias towards probable points; at least in float32."""
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    components = outputs.shape[-1] // 6
    end, weights, means, deviations, alike = outputs.split([1, *(components * k for k in (1, 2, 2, 1))], -1)
    return PenMixture(
        end[..., 0],
        (weights * (1 + bias)).log_softmax(-1),
        means.unflatten(-1, (components, 2)),
        deviations.clamp(-WIDEST, WIDEST).unflatten(-1, (components, 2)) - bias,
        alike.clamp(-MOST_ALIKE, MOST_ALIKE),
    )
