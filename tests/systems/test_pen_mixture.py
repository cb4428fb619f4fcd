import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, distributions

from saccade.systems.handwriting.mixture import PenMixture, pen_mixture
from tests.checks import assert_twins, leaf

BATCH, STEPS, COMPONENTS = 2, 3, 5


def slow_log_density(outputs: Tensor, points: Tensor, bias: float = 0.0) -> Tensor:
    """Equations 15 to 25, 61 and 62 for one point (3,), one component at a time."""
    n = len(outputs) // 6
    e = 1 / (1 + torch.exp(-outputs[0]))
    weights = torch.exp(outputs[1 : 1 + n] * (1 + bias))
    density = torch.zeros((), dtype=outputs.dtype)
    for j in range(n):
        mean = outputs[1 + n + 2 * j : 3 + n + 2 * j]
        s1, s2 = torch.exp(outputs[1 + 3 * n + 2 * j : 3 + 3 * n + 2 * j] - bias)
        rho = torch.tanh(outputs[1 + 5 * n + j])
        covariance = torch.stack([torch.stack([s1 * s1, rho * s1 * s2]), torch.stack([rho * s1 * s2, s2 * s2])])
        normal = distributions.MultivariateNormal(mean, covariance)
        density = density + weights[j] / weights.sum() * normal.log_prob(points[:2]).exp()
    return torch.log(density * (e if points[2] == 1 else 1 - e))


def some_points() -> Tensor:
    points = torch.randn(BATCH, STEPS, 3, dtype=torch.float64)
    points[..., 2] = (points[..., 2] > 0).double()
    return points


@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_the_density_is_that_of_torchs_normal_distributions_with_its_gradient(bias: float) -> None:
    outputs, points = leaf(BATCH, STEPS, 1 + 6 * COMPONENTS), some_points()

    def slow() -> Tensor:
        rows = zip(outputs.flatten(0, 1), points.flatten(0, 1), strict=True)
        return torch.stack([slow_log_density(o, x, bias) for o, x in rows]).view(BATCH, STEPS)

    assert_twins(lambda: pen_mixture(outputs, bias).log_density(points), slow, [outputs], 1e-10)


def test_the_density_passes_gradcheck() -> None:
    points = some_points()
    assert torch.autograd.gradcheck(lambda o: pen_mixture(o).log_density(points), leaf(BATCH, STEPS, 1 + 6 * 2))


def test_the_integral_of_the_density_is_one() -> None:
    mixture = pen_mixture(0.5 * torch.randn(1 + 6 * COMPONENTS, dtype=torch.float64))
    side = torch.linspace(-12, 12, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    total = 0.0
    for end in (0.0, 1.0):
        points = torch.cat([grid, torch.full((len(grid), 1), end, dtype=torch.float64)], 1)
        total += float(mixture.log_density(points).exp().sum()) * float(side[1] - side[0]) ** 2
    assert total == pytest.approx(1, abs=1e-6)


def moments(mixture: PenMixture) -> tuple[Tensor, Tensor]:
    """Mean (2,) and covariance (2, 2) of a mixture without a batch axis."""
    weights, deviations = mixture.log_weights.exp(), mixture.log_deviations.exp()
    mean = weights @ mixture.means
    second = torch.zeros(2, 2, dtype=mean.dtype)
    for w, m, s, r in zip(weights, mixture.means, deviations, mixture.alike.tanh(), strict=True):
        cross = r * s[0] * s[1]
        second = second + w * (torch.stack([s[0] ** 2, cross, cross, s[1] ** 2]).view(2, 2) + torch.outer(m, m))
    return mean, second - torch.outer(mean, mean)


def test_samples_have_the_moments_of_the_mixture() -> None:
    outputs, count = torch.randn(1 + 6 * COMPONENTS, dtype=torch.float64), 400_000
    mixture = pen_mixture(outputs.expand(count, -1))
    generator = torch.Generator().manual_seed(5)
    uniform, normal = (f(count, 2, generator=generator, dtype=torch.float64) for f in (torch.rand, torch.randn))
    drawn = mixture.sample(uniform, normal)
    mean, covariance = moments(pen_mixture(outputs))
    scale = float(covariance.diagonal().max().sqrt())
    torch.testing.assert_close(drawn[:, :2].mean(0), mean, rtol=0, atol=6 * scale / math.sqrt(count))
    torch.testing.assert_close(drawn[:, :2].T.cov(), covariance, rtol=0, atol=0.02 * scale**2)
    assert float(drawn[:, 2].mean()) == pytest.approx(float(outputs[0].sigmoid()), abs=0.004)
    assert set(drawn[:, 2].tolist()) == {0.0, 1.0}


def test_a_bias_sharpens_the_weights_and_narrows_the_gaussians() -> None:
    outputs = torch.randn(1 + 6 * COMPONENTS, dtype=torch.float64)
    plain, biased = pen_mixture(outputs), pen_mixture(outputs, 2.0)
    torch.testing.assert_close(biased.log_deviations, plain.log_deviations - 2)
    torch.testing.assert_close(biased.log_weights, (3 * plain.log_weights).log_softmax(-1))
    assert biased.log_weights.max() > plain.log_weights.max()
    assert torch.equal(biased.means, plain.means)
    torch.testing.assert_close(biased.end, plain.end)


@settings(deadline=None)
@given(st.floats(-1e4, 1e4, width=32), st.floats(-1e3, 1e3, width=32))
def test_densities_and_gradients_are_finite_for_any_output(size: float, place: float) -> None:
    signs = torch.tensor([1.0, -1.0]).repeat(1 + 3 * COMPONENTS)[: 1 + 6 * COMPONENTS]
    outputs = (size * signs).requires_grad_()
    density = pen_mixture(outputs).log_density(torch.tensor([place, -place, 1.0]))
    density.backward()
    assert density.isfinite()
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()


def test_bfloat16_outputs_give_a_density_in_float32() -> None:
    outputs = torch.randn(1 + 6 * COMPONENTS).bfloat16()
    assert pen_mixture(outputs).log_density(torch.zeros(3)).dtype == torch.float32
