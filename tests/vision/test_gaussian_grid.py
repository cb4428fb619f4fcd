from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.vision import GaussianGrid
from saccade.vision.gaussian_grid import FARTHEST, FilterBank, Grid, bank_of, filters, grid_of, read, write
from tests.checks import assert_twins, leaf, randomised

BATCH, CHANNELS, HEIGHT, WIDTH, HIDDEN = 2, 3, 7, 5, 11
ABSURD = [0.0, 1.0, -30.0, 30.0, -1e4, 1e4, 1e30, -1e30]  # outputs of a network that has gone astray


def slow_filters(outputs: Tensor, size: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """F_X, F_Y and gamma by equations 19 to 26, one number at a time, with indices from 1."""
    all_columns: list[Tensor] = []
    all_rows: list[Tensor] = []
    all_gamma: list[Tensor] = []
    for g_x, g_y, log_variance, log_stride, log_gamma in outputs:
        centre_x, centre_y = (width + 1) / 2 * (g_x + 1), (height + 1) / 2 * (g_y + 1)
        stride = (max(width, height) - 1) / (size - 1) * log_stride.exp() if size > 1 else torch.zeros(()).double()
        variance = log_variance.exp()
        for centre, length, found in ((centre_x, width, all_columns), (centre_y, height, all_rows)):
            filters = []
            for i in range(1, size + 1):
                mean = centre + (i - size / 2 - 0.5) * stride
                heights = [torch.exp(-((a - mean) ** 2) / (2 * variance)) for a in range(1, length + 1)]
                filters.append(torch.stack([one / sum(heights) for one in heights]))
            found.append(torch.stack(filters))
        all_gamma.append(log_gamma.exp())
    return torch.stack(all_columns), torch.stack(all_rows), torch.stack(all_gamma)


def slow_read(images: Tensor, outputs: Tensor, size: int) -> Tensor:
    height, width = images.shape[2:]
    columns, rows, gamma = slow_filters(outputs, size, height, width)
    patches = []
    for b in range(len(images)):
        for c in range(images.shape[1]):
            for j in range(size):
                for i in range(size):
                    weighted = [
                        rows[b, j, y] * images[b, c, y, x] * columns[b, i, x]
                        for y in range(height)
                        for x in range(width)
                    ]
                    patches.append(gamma[b] * sum(weighted))
    return torch.stack(patches).view(len(images), -1, size, size)


def slow_write(patches: Tensor, outputs: Tensor, height: int, width: int) -> Tensor:
    size = patches.shape[-1]
    columns, rows, gamma = slow_filters(outputs, size, height, width)
    images = []
    for b in range(len(patches)):
        for c in range(patches.shape[1]):
            for y in range(height):
                for x in range(width):
                    weighted = [
                        rows[b, j, y] * patches[b, c, j, i] * columns[b, i, x] for j in range(size) for i in range(size)
                    ]
                    images.append(sum(weighted) / gamma[b])
    return torch.stack(images).view(len(patches), -1, height, width)


def bank(outputs: Tensor, size: int, height: int = HEIGHT, width: int = WIDTH) -> FilterBank:
    return bank_of(grid_of(outputs, height, width, size), height, width, size)


@pytest.mark.parametrize(("size", "height", "width"), [(3, HEIGHT, WIDTH), (1, HEIGHT, WIDTH), (2, 5, 5), (5, 2, 3)])
def test_reading_and_writing_equal_their_slow_twins(size: int, height: int, width: int) -> None:
    images, patches = leaf(BATCH, CHANNELS, height, width), leaf(BATCH, CHANNELS, size, size)
    outputs = (0.5 * torch.randn(BATCH, 5).double()).requires_grad_()
    wrt = [images, patches, outputs]
    assert_twins(
        lambda: (read(images, bank(outputs, size, height, width)), write(patches, bank(outputs, size, height, width))),
        lambda: (slow_read(images, outputs, size), slow_write(patches, outputs, height, width)),
        wrt,
    )


def test_the_module_places_the_grid_by_a_linear_function_of_its_input() -> None:
    grid, hidden = randomised(GaussianGrid(HIDDEN, 3, HEIGHT, WIDTH), 0.3), leaf(BATCH, HIDDEN)
    images, patches = leaf(BATCH, CHANNELS, HEIGHT, WIDTH), leaf(BATCH, CHANNELS, 3, 3)
    weight, bias = grid.parameters_of.weight, grid.parameters_of.bias

    def slow() -> tuple[Tensor, Tensor]:
        outputs = torch.stack([weight @ row + bias for row in hidden])
        return slow_read(images, outputs, 3), slow_write(patches, outputs, HEIGHT, WIDTH)

    assert_twins(
        lambda: (grid.read(images, grid(hidden)), grid.write(patches, grid(hidden))),
        slow,
        [images, patches, hidden, weight, bias],
    )


def test_a_mirrored_image_gives_the_mirrored_patch() -> None:
    """Pixels are counted from 1 (from 0 the window would be half a pixel off its centre)."""
    outputs, images = torch.zeros(1, 5).double(), torch.rand(1, 1, HEIGHT, WIDTH).double()
    outputs[:, 3] = -0.7
    patch = read(images, bank(outputs, 4))
    torch.testing.assert_close(read(images.flip(3), bank(outputs, 4)), patch.flip(3))
    torch.testing.assert_close(read(images.flip(2), bank(outputs, 4)), patch.flip(2))


def test_a_sharp_grid_of_all_pixels_is_the_identity() -> None:
    outputs, images = torch.zeros(1, 5).double(), torch.rand(1, CHANNELS, 6, 6).double()
    outputs[:, 2] = -12
    torch.testing.assert_close(read(images, bank(outputs, 6, 6, 6)), images)
    torch.testing.assert_close(write(images, bank(outputs, 6, 6, 6)), images)


def test_a_very_wide_filter_reads_the_mean_and_writes_evenly() -> None:
    outputs, images = torch.zeros(1, 5).double(), torch.rand(1, 1, HEIGHT, WIDTH).double()
    outputs[:, 2] = 15
    patch, evenly = read(images, bank(outputs, 3)), torch.full((1, 1, HEIGHT, WIDTH), 9 / (HEIGHT * WIDTH)).double()
    torch.testing.assert_close(patch, images.mean().expand_as(patch), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(write(torch.ones_like(patch), bank(outputs, 3)), evenly, rtol=1e-3, atol=1e-4)


def test_writing_is_the_transpose_of_reading_with_the_intensity_inverted() -> None:
    images, patches = torch.randn(1, 1, HEIGHT, WIDTH).double(), torch.randn(1, 1, 3, 3).double()
    found = bank(torch.randn(1, 5).double(), 3)
    gamma = float(found.log_intensity.exp())
    one, other = (read(images, found) * patches).sum() / gamma, (write(patches, found) * images).sum() * gamma
    torch.testing.assert_close(one, other)


def test_a_row_outside_the_image_reads_the_pixel_at_its_edge() -> None:
    for dtype in (torch.float32, torch.float64):
        outputs = torch.tensor([[-1e3, 1e3, 0.0, -3.0, 0.0], [FARTHEST, -1e30, -15.0, 15.0, 0.0]], dtype=dtype)
        images = torch.rand(2, 1, HEIGHT, WIDTH, dtype=dtype)
        found = read(images, bank(outputs, 1))[:, 0, 0, 0]
        torch.testing.assert_close(found, torch.stack([images[0, 0, -1, 0], images[1, 0, 0, -1]]))


@settings(max_examples=40)
@given(
    outputs=st.lists(st.lists(st.sampled_from(ABSURD), min_size=5, max_size=5), min_size=1, max_size=3),
    size=st.sampled_from([1, 2, 5, 40]),
    shape=st.sampled_from([(1, 1), (HEIGHT, WIDTH), (28, 28)]),
    precision=st.sampled_from(["float32", "float64", "bfloat16"]),
)
def test_any_outputs_give_finite_patches_and_gradients(
    outputs: list[list[float]], size: int, shape: tuple[int, int], precision: str
) -> None:
    """sigma to zero and to infinity, centres far outside, windows larger than the image, one filter, one example."""
    dtype = torch.float64 if precision == "float64" else torch.float32
    images, patches = torch.rand(len(outputs), 2, *shape, dtype=dtype), torch.randn(len(outputs), 2, size, size)
    leaves = [torch.tensor(outputs, dtype=dtype), images, patches.to(dtype)]
    numbers, images, patches = (one.requires_grad_() for one in leaves)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        found = bank(numbers, size, *shape)
        read_patches, written = read(images, found), write(patches, found)
    for rows in (found.columns, found.rows):
        torch.testing.assert_close(rows.sum(-1), torch.ones_like(rows[..., 0]))
    gradients = torch.autograd.grad(read_patches.sum() + written.sum(), [numbers, images, patches])
    assert all(tensor.isfinite().all() for tensor in (read_patches, written, *gradients))


def test_outputs_in_bfloat16_give_filters_in_float32() -> None:
    found = bank(torch.randn(BATCH, 5).bfloat16(), 3)
    assert found.columns.dtype == found.rows.dtype == torch.float32


def test_a_new_grid_covers_the_image_and_its_filters_overlap() -> None:
    grid = GaussianGrid(HIDDEN, 4, 28, 28)
    outputs = grid.parameters_of(torch.zeros(1, HIDDEN))
    found = grid_of(outputs, 28, 28, 4)
    torch.testing.assert_close(found.centre, torch.full((1, 2), 14.5))
    torch.testing.assert_close(found.stride, torch.tensor([9.0]))
    torch.testing.assert_close(found.variance.sqrt(), torch.tensor([4.5]))


def test_the_centres_of_the_filters_are_a_grid_row_by_row() -> None:
    where = Grid(torch.tensor([[3.0, 5.0]]), torch.tensor([2.0]), torch.ones(1), torch.zeros(1))
    assert where.centres(3)[0].tolist() == [[x, y] for y in (3, 5, 7) for x in (1, 3, 5)]


def test_the_box_of_a_grid_is_one_stride_for_each_filter() -> None:
    where = Grid(torch.tensor([[3.0, 5.0]]), torch.tensor([2.0]), torch.ones(1), torch.zeros(1))
    assert where.boxes(3).tolist() == [[3 - 0.5 - 3, 5 - 0.5 - 3, 6, 6]]
    whole = grid_of(torch.zeros(1, 5), 7, 7, 7)  # a filter for each pixel
    assert whole.boxes(7).tolist() == [[0, 0, 7, 7]]


def test_the_boxes_are_heard() -> None:
    grid, hidden = GaussianGrid(HIDDEN, 3, HEIGHT, WIDTH), torch.randn(BATCH, HIDDEN)
    with capture(grid) as seen:
        grid(hidden)
    expected = grid_of(grid.parameters_of(hidden), HEIGHT, WIDTH, 3).boxes(3)
    torch.testing.assert_close(seen["boxes"][0], expected.detach())


@pytest.mark.unhooked
@pytest.mark.parametrize("name", ["input_size", "size", "height", "width"])
def test_sizes_below_one_raise(name: str) -> None:
    sizes: dict[str, Any] = {"input_size": 3, "size": 2, "height": 5, "width": 7} | {name: 0}
    with pytest.raises(InvalidInput, match=f"{name} must be at least 1, not 0"):
        GaussianGrid(**sizes)


@pytest.mark.unhooked
def test_images_of_another_size_raise() -> None:
    grid = GaussianGrid(HIDDEN, 3, HEIGHT, WIDTH)
    with pytest.raises(InvalidInput, match="7 rows and 5 columns, not 5 x 7"):
        grid.read(torch.rand(1, 1, WIDTH, HEIGHT), grid(torch.zeros(1, HIDDEN)))


@pytest.mark.unhooked
def test_compiled_it_is_the_same() -> None:
    grid, hidden, images = GaussianGrid(HIDDEN, 3, 8, 8), torch.randn(BATCH, HIDDEN), torch.rand(BATCH, 1, 8, 8)

    def look(hidden: Tensor, images: Tensor) -> Tensor:
        return grid.read(images, grid(hidden))

    compiled: Any = torch.compile(look, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(hidden, images), look(hidden, images))


def test_tails_are_zero_before_their_products_are_denormal() -> None:
    means, variance = torch.tensor([[[3.0, 14.5]]]), torch.tensor([0.5])
    found = filters(means, variance, 60)
    assert ((found == 0) | (found > torch.finfo(found.dtype).tiny ** 0.5 / 10)).all()
    away = torch.arange(1, 61) - means[..., None]
    torch.testing.assert_close(found, (-(away**2)).softmax(-1), rtol=1e-5, atol=1e-18)
