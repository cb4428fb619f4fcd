"""The grids and the sampler against slow loops, and what they become for special parameters."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.vision import AffineGrid, ProjectiveGrid, SimilarityGrid, SpatialTransformer, SplineGrid
from saccade.vision.grids import OUTSIDE, Grid, points
from saccade.vision.spatial_transformer import sample
from tests.checks import assert_twins, leaf, randomised, unchanged

SIZE = (5, 7)
KINDS: list[type[Grid]] = [AffineGrid, SimilarityGrid, ProjectiveGrid, SplineGrid]
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def near_identity(grid: Grid, batch: int = 3, scale: float = 0.1) -> Tensor:
    theta = torch.tensor(grid.identity).double() + scale * torch.randn(batch, len(grid.identity)).double()
    return theta.requires_grad_()


def slow_point(kind: type[Grid], theta: Tensor, x: float, y: float) -> Tensor:
    """The place of one point of the output, as the paper writes it."""
    if kind is AffineGrid:
        return torch.stack([theta[0] * x + theta[1] * y + theta[2], theta[3] * x + theta[4] * y + theta[5]])
    if kind is SimilarityGrid:
        scale, angle = theta[:2].square().sum().sqrt(), torch.atan2(theta[1], theta[0])
        return torch.stack([scale * (angle.cos() * x - angle.sin() * y) + theta[2],
                            scale * (angle.sin() * x + angle.cos() * y) + theta[3]])  # fmt: skip
    depth = theta[6] * x + theta[7] * y + 1
    if depth < 1e-4:
        return torch.full((2,), OUTSIDE).double()
    return torch.stack([theta[0] * x + theta[1] * y + theta[2], theta[3] * x + theta[4] * y + theta[5]]) / depth


def slow_spline(theta: Tensor, x: float, y: float, count: int = 4) -> Tensor:
    """The spline through all control points, its own weights solved for, at one point."""

    def kernel(a: tuple[float, float], b: tuple[float, float]) -> float:
        square = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
        return square * math.log(square) if square else 0.0

    steps = [2 * i / (count - 1) - 1 for i in range(count)]
    control = [(cx, cy) for cy in steps for cx in steps]
    rows = [[kernel(a, b) for b in control] + [1.0, *a] for a in control]
    rows += [[1.0] * len(control) + [0.0] * 3] + [[c[axis] for c in control] + [0.0] * 3 for axis in (0, 1)]
    sources = torch.stack(
        [torch.stack([theta[2 * i] + cx, theta[2 * i + 1] + cy]) for i, (cx, cy) in enumerate(control)]
    )
    weights = torch.linalg.solve(torch.tensor(rows, dtype=torch.float64), torch.cat([sources, sources.new_zeros(3, 2)]))
    terms = [*(kernel((x, y), c) for c in control), 1.0, x, y]
    return sum((term * weight for term, weight in zip(terms, weights, strict=True)), sources.new_zeros(2))


def slow_grid(kind: type[Grid], theta: Tensor) -> Tensor:
    rows, columns = SIZE
    made = slow_spline if kind is SplineGrid else lambda *given: slow_point(kind, *given)
    return torch.stack([
        torch.stack([torch.stack([made(one, 2 * m / (columns - 1) - 1, 2 * n / (rows - 1) - 1) for m in range(columns)])
                     for n in range(rows)]) for one in theta
    ])  # fmt: skip


def double(kind: type[Grid], size: tuple[int, int] = SIZE) -> Grid:
    return kind(size).double()


@each
def test_a_grid_equals_its_slow_twin(kind: type[Grid]) -> None:
    grid = double(kind)
    theta = near_identity(grid, scale=0.3)
    assert_twins(lambda: grid(theta), lambda: slow_grid(kind, theta), [theta], 1e-10)


def test_a_grid_with_a_horizon_equals_its_slow_twin() -> None:
    grid, theta = double(ProjectiveGrid), leaf(5, 8)
    theta = (3 * theta).detach().requires_grad_()
    found = grid(theta)
    assert (found == OUTSIDE).all(-1).any()
    assert_twins(lambda: grid(theta), lambda: slow_grid(ProjectiveGrid, theta), [theta], 1e-8)


def pixels(places: Tensor, size: tuple[int, int]) -> Tensor:
    return (places + 1) / 2 * torch.tensor([size[1] - 1, size[0] - 1])


class SlowSampler(torch.autograd.Function):
    """The paper's sampler with its own derivatives: equations 5 to 7, one pixel after the other. Places in pixels."""

    @staticmethod
    def forward(context: object, images: Tensor, places: Tensor) -> Tensor:
        context.save_for_backward(images, places)  # type: ignore[attr-defined]
        output = images.new_zeros(*images.shape[:2], *places.shape[1:3])
        for b, c, i, j in torch.cartesian_prod(*map(torch.arange, output.shape)).tolist():
            x, y = places[b, i, j].tolist()
            for n in range(images.shape[2]):
                for m in range(images.shape[3]):
                    output[b, c, i, j] += images[b, c, n, m] * max(0, 1 - abs(x - m)) * max(0, 1 - abs(y - n))
        return output

    @staticmethod
    def backward(context: object, slopes: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        images, places = context.saved_tensors  # type: ignore[attr-defined]
        by_image, by_place = torch.zeros_like(images), torch.zeros_like(places)

        def side(away: float) -> int:
            return 0 if abs(away) >= 1 else 1 if away >= 0 else -1

        for b, c, i, j in torch.cartesian_prod(*map(torch.arange, slopes.shape)).tolist():
            x, y = places[b, i, j].tolist()
            slope = slopes[b, c, i, j]
            for n in range(images.shape[2]):
                for m in range(images.shape[3]):
                    near_x, near_y = max(0, 1 - abs(x - m)), max(0, 1 - abs(y - n))
                    by_image[b, c, n, m] += slope * near_x * near_y
                    by_place[b, i, j, 0] += slope * images[b, c, n, m] * near_y * side(m - x)
                    by_place[b, i, j, 1] += slope * images[b, c, n, m] * near_x * side(n - y)
        return by_image, by_place


def test_the_sampler_and_its_gradients_equal_the_paper_s() -> None:
    images, places = leaf(2, 3, *SIZE), (1.5 * torch.rand(2, 3, 5, 2).double() * 2 - 1.5).requires_grad_()
    assert (places.abs() > 1).any()  # some lie outside

    def slow() -> Tensor:
        found: Tensor = SlowSampler.apply(images, pixels(places, SIZE))  # type: ignore[no-untyped-call]
        return found

    assert_twins(lambda: sample(images, places), slow, [images, places])


def test_at_whole_pixels_the_gradient_is_the_slope_to_the_right() -> None:
    images = torch.tensor([[[[2.0, 3.0, 7.0]]]]).double()
    places = torch.tensor([[[[0.0, 0.0]]]]).double().requires_grad_()  # the middle pixel
    (slope,) = torch.autograd.grad(sample(images, places).sum(), places)
    assert slope[..., 0].item() == 7 - 3  # two pixels wide are two units


@each
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_identity_returns_the_image(kind: type[Grid], dtype: torch.dtype) -> None:
    images = torch.randn(2, 3, *SIZE, dtype=dtype)
    grid = double(kind)
    theta = torch.tensor(grid.identity, dtype=dtype).expand(2, -1)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(sample(images, grid(theta)), images, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("across", "down"), [(0, 0), (1, 0), (0, -2), (3, 2), (-7, 1)])
def test_a_shift_by_whole_pixels_is_a_crop(across: int, down: int) -> None:
    rows, columns = SIZE
    images = torch.randn(1, 2, rows, columns).double()
    moved = [1, 0, 2 * across / (columns - 1), 0, 1, 2 * down / (rows - 1)]
    found = sample(images, double(AffineGrid)(torch.tensor([moved], dtype=torch.float64)))
    wide = F.pad(images, (7, 7, 7, 7))[..., 7 + down : 7 + down + rows, 7 + across : 7 + across + columns]
    torch.testing.assert_close(found, wide, rtol=1e-12, atol=1e-12)


def test_a_smaller_grid_crops() -> None:
    images = torch.randn(1, 1, 9, 9).double()
    theta = torch.tensor([[0.5, 0.0, 0.0, 0.0, 0.5, 0.0]]).double()
    found = sample(images, AffineGrid((5, 5)).double()(theta))
    torch.testing.assert_close(found, images[..., 2:7, 2:7], rtol=1e-12, atol=1e-12)


def test_each_kind_of_grid_is_a_special_case_of_the_next() -> None:
    theta = torch.randn(3, 4).double()
    a, b, x, y = theta.unbind(1)
    affine = torch.stack([a, -b, x, b, a, y], 1)
    found = double(AffineGrid)(affine)
    torch.testing.assert_close(double(SimilarityGrid)(theta), found, rtol=0, atol=0)
    torch.testing.assert_close(double(ProjectiveGrid)(F.pad(affine, (0, 2))), found, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(found, F.affine_grid(affine.view(-1, 2, 3), [3, 1, *SIZE], align_corners=True))
    # the spline through control points that an affine map moves is that map
    control = points(4, 4)
    moved = F.pad(control, (0, 1), value=1.0) @ affine.view(-1, 2, 3).mT - control
    torch.testing.assert_close(double(SplineGrid)(moved.flatten(1)), found, rtol=1e-10, atol=1e-10)


def test_the_spline_goes_through_its_control_points() -> None:
    grid, moved = SplineGrid((4, 4)).double(), torch.randn(3, 32).double()
    expected = points(4, 4) + moved.view(3, 16, 2)
    torch.testing.assert_close(grid(moved).flatten(1, 2), expected, rtol=1e-10, atol=1e-10)


def transformer(grid: Grid, side: int = 35) -> SpatialTransformer:
    return SpatialTransformer(nn.Sequential(nn.Flatten(), nn.Linear(side, 3), nn.Tanh()), 3, grid)


@each
def test_the_module_starts_as_the_identity_and_has_gradients(kind: type[Grid]) -> None:
    module, images = transformer(double(kind)).double(), leaf(2, 1, *SIZE)
    with unchanged(module):
        found = module(images)
    torch.testing.assert_close(found, images, rtol=1e-10, atol=1e-10)
    module.regression.weight.data.normal_(std=0.1)
    found = module(images)
    gradients = torch.autograd.grad(found.square().sum(), [images, *module.parameters()])
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)


@each
def test_the_module_is_its_three_parts(kind: type[Grid]) -> None:
    module, images = randomised(transformer(double(kind)), 0.1), leaf(2, 1, *SIZE)

    def parts() -> Tensor:
        theta = module.localisation(images) @ module.regression.weight.T + module.regression.bias
        found: Tensor = SlowSampler.apply(images, pixels(slow_grid(kind, theta), SIZE))  # type: ignore[no-untyped-call]
        return found

    assert_twins(lambda: module(images), parts, [images, *module.parameters()], 1e-9)


HARD = st.sampled_from([0.0, 1e-30, -1e-6, 0.5, -1.0, 3.0, -50.0, 1e4, -1e7, 1e20, -3e38, 3e38])


@each
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_degenerate_parameters_give_finite_images_and_gradients(kind: type[Grid], data: st.DataObject) -> None:
    batch, rows, columns = (data.draw(st.integers(1, high)) for high in (2, 5, 5))
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float64]))
    grid = kind((data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))))
    count = batch * len(grid.identity)
    numbers = data.draw(st.lists(HARD, min_size=count, max_size=count))
    theta = torch.tensor(numbers, dtype=dtype).view(batch, -1).nan_to_num().requires_grad_()
    images = torch.randn(batch, 2, rows, columns, dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", enabled=dtype == torch.bfloat16):
        found = sample(images, grid(theta))
    assert found.dtype == dtype
    gradients = torch.autograd.grad(found.float().square().sum(), [images, theta])
    assert all(one.isfinite().all() for one in (found, *gradients))
    # interpolation never leaves the range of the pixels and the zeros around them
    assert found.abs().max() <= images.abs().max() * 1.01


@pytest.mark.parametrize("far", [4.0, -1e5, 1e10, -1e20, 1e30])
def test_a_place_far_outside_is_zero_without_a_gradient(far: float) -> None:
    images = torch.randn(1, 1, *SIZE, requires_grad=True)
    places = torch.tensor([far, 0.0, 0.0, far, far, -far]).view(1, 1, 3, 2).requires_grad_()
    found = sample(images, places)
    assert not found.any()
    assert not any(one.any() for one in torch.autograd.grad(found.sum(), [images, places]))


@each
def test_bfloat16_autocast_keeps_the_places(kind: type[Grid]) -> None:
    module, images = transformer(kind((28, 28)), 784), torch.rand(1, 1, 28, 28)
    with torch.autocast("cpu"):
        found = module(images)
    torch.testing.assert_close(found.float(), images, rtol=1e-4, atol=1e-4)


def test_a_zero_matrix_shows_one_place() -> None:
    images = torch.randn(1, 1, 3, 3).double()
    found = sample(images, double(AffineGrid)(torch.zeros(1, 6).double()))
    assert all((a == b).all() for a, b in pairwise(found.flatten()))
    torch.testing.assert_close(found[0, 0, 0, 0], images[0, 0, 1, 1])


@pytest.mark.unhooked
@pytest.mark.parametrize("kind", [AffineGrid, ProjectiveGrid])
def test_it_compiles(kind: type[Grid]) -> None:
    module, images = randomised(transformer(kind(SIZE)), 0.1).float(), torch.randn(2, 1, *SIZE)
    compiled = torch.compile(module, backend="aot_eager")
    torch.testing.assert_close(compiled(images), module(images))


@pytest.mark.unhooked
def test_what_does_not_fit_is_one_sentence() -> None:
    grid = AffineGrid(SIZE)
    with pytest.raises(InvalidInput, match=r"parameters must be \(batch, 6\), not \(2, 8\)"):
        grid(torch.zeros(2, 8))
    with pytest.raises(InvalidInput, match="rows must be at least 1"):
        AffineGrid((0, 3))
    with pytest.raises(InvalidInput, match="control must be at least 2"):
        SplineGrid(SIZE, control=1)
    with pytest.raises(InvalidInput, match=r"not \(3, 1, 2, 2\) and \(2, 5, 7, 2\)"):
        sample(torch.zeros(3, 1, 2, 2), torch.zeros(2, *SIZE, 2))
    with pytest.raises(InvalidInput, match=r"must give \(batch, 3\) features, not \(1, 35\)"):
        SpatialTransformer(nn.Flatten(), 3, grid)(torch.zeros(1, 1, *SIZE))
    with pytest.raises(InvalidInput, match="feature_size must be at least 1"):
        SpatialTransformer(nn.Flatten(), 0, grid)
