"""Multi-scale glimpses against slow loops in float64."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.vision.retina import Blurred, Retina, Sharp, blurred, centres, composed, glimpse, sharp
from tests.checks import assert_twins, leaf


def pixel(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """One value between the pixels of an image (c, y, x), which is zero outside; index 0 is the first pixel."""
    found = torch.zeros_like(image[:, 0, 0])
    top, left = math.floor(float(y.detach())), math.floor(float(x.detach()))
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
            found = found + (1 - (y - row).abs()) * (1 - (x - column).abs()) * image[:, row, column]
    return found


def slow_glimpses(images: Tensor, locations: Tensor, patch_size: int, scales: int) -> Tensor:
    """Cut a window around each location, pixel by pixel, and average it to the size of the patch."""
    high, wide = images.shape[2:]
    found = []
    for image, (l_x, l_y) in zip(images, locations, strict=True):
        for scale in range(scales):
            block = 2**scale
            # in pixels from the corner of the first one, whose centre lies at half a pixel
            left, top = (l_x + 1) / 2 * wide - patch_size * block / 2, (l_y + 1) / 2 * high - patch_size * block / 2
            patch = []
            for row, column in itertools.product(range(patch_size), repeat=2):
                inside = [pixel(image, top + row * block + down, left + column * block + right)
                          for down, right in itertools.product(range(block), repeat=2)]  # fmt: skip
                patch.append(torch.stack(inside).mean(0))
            found.append(torch.stack(patch, 1).view(-1, patch_size, patch_size))
    return torch.stack(found).view(len(images), scales, -1, patch_size, patch_size)


# the last two: windows larger than the image, and an image of one pixel
CASES = [(1, 1, 5, 7, 3, 1), (3, 2, 11, 7, 3, 3), (2, 1, 5, 3, 4, 3), (2, 3, 1, 1, 2, 2)]


@pytest.mark.parametrize(("batch", "channels", "high", "wide", "patch_size", "scales"), CASES)
def test_it_is_the_slow_loop(batch: int, channels: int, high: int, wide: int, patch_size: int, scales: int) -> None:
    images, locations = leaf(batch, channels, high, wide), (leaf(batch, 2).detach() * 0.7).requires_grad_()
    retina = Retina(patch_size, scales=scales)
    assert_twins(
        lambda: retina(images, locations), lambda: slow_glimpses(images, locations, patch_size, scales),
        [images, locations],
    )  # fmt: skip
    for form in (sharp, blurred):
        assert_twins(
            lambda form=form: glimpse(form(images, patch_size, scales), locations, patch_size, scales),
            lambda: slow_glimpses(images, locations, patch_size, scales), [images, locations],
        )  # fmt: skip


def test_a_large_image_is_sampled_as_it_is() -> None:
    retina = Retina(3, scales=2)  # windows of 9 and 36 pixels
    assert isinstance(retina.prepare(torch.rand(1, 1, 9, 10)), Sharp)
    assert isinstance(retina.prepare(torch.rand(1, 1, 4, 22)), Blurred)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("patch_size", [8, 5])
def test_at_whole_pixels_it_is_a_crop(patch_size: int, dtype: torch.dtype) -> None:
    images = torch.rand(6, 1, 28, 21, dtype=dtype)
    top, left = torch.tensor([0, 3, 20, 7, 11, 20]), torch.tensor([0, 13, 2, 5, 13, 13])
    sides = torch.tensor([21, 28])
    locations = 2 * (torch.stack([left, top], 1) + patch_size / 2).to(dtype) / sides - 1
    found = Retina(patch_size)(images, locations)
    for image, y, x, patch in zip(images, top.tolist(), left.tolist(), found, strict=True):
        crop = image[:, y : y + patch_size, x : x + patch_size]
        torch.testing.assert_close(patch[0], crop, rtol=0, atol=30 * torch.finfo(dtype).eps)


def test_the_wider_patches_of_a_crop_are_its_means() -> None:
    images = torch.rand(2, 1, 24, 24).double()
    found = Retina(3, scales=3)(images, torch.zeros(2, 2).double())
    for scale, block in enumerate((1, 2, 4)):
        if block > 1:  # the window of an odd patch lies between the pixels in the middle
            edge = (24 - 3 * block) // 2
            window = images[..., edge : edge + 3 * block, edge : edge + 3 * block]
            means = torch.nn.functional.avg_pool2d(window, block)
            torch.testing.assert_close(found[:, scale], means, rtol=0, atol=1e-14)


def test_outside_the_image_it_sees_zeros() -> None:
    images = torch.ones(5, 1, 6, 9)
    far = torch.tensor([[9.0, 0.0], [0.0, -9.0], [1e30, -1e30], [math.inf, 0.0], [-3e38, 3e38]]).requires_grad_()
    found = Retina(4, scales=2)(images, far)
    assert not found.any()
    (gradient,) = torch.autograd.grad(found.sum(), far)
    assert not gradient.any()
    # half of a window at the edge
    edge = Retina(4)(images[:1], torch.tensor([[-1.0, 0.0]]))[0, 0, 0]
    assert torch.equal(edge, torch.tensor([0.0, 0, 1, 1]).expand(4, 4))


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3), high=st.integers(1, 12), wide=st.integers(1, 12), patch_size=st.integers(1, 6),
    scales=st.integers(1, 4), x=st.floats(-1e6, 1e6), y=st.floats(-4, 4),
)  # fmt: skip
def test_any_location_of_any_image_gives_means_of_it(
    batch: int, high: int, wide: int, patch_size: int, scales: int, x: float, y: float
) -> None:
    images = torch.rand(batch, 1, high, wide, requires_grad=True)
    locations = torch.tensor([[x, y]]).expand(batch, 2).clone().requires_grad_()
    found = Retina(patch_size, scales=scales)(images, locations)
    assert found.shape == (batch, scales, 1, patch_size, patch_size)
    assert (found >= -1e-6).all()
    assert (found <= images.max() + 1e-5).all()
    gradients = torch.autograd.grad(found.sum(), [images, locations])
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_what_is_prepared_once_serves_all_glimpses() -> None:
    images, locations = torch.rand(3, 1, 13, 11).double(), 2 * torch.rand(5, 3, 2).double() - 1
    retina = Retina(3, scales=3)
    prepared = retina.prepare(images)
    for each in locations:
        assert torch.equal(retina.look(prepared, each), retina(images, each))


@pytest.mark.unhooked
def test_the_compiled_retina_is_the_same() -> None:
    images, locations, retina = leaf(2, 1, 7, 5), leaf(2, 2), Retina(3, scales=2)
    torch.compiler.reset()
    compiled = torch.compile(retina, fullgraph=True, backend="aot_eager")
    assert_twins(lambda: compiled(images, locations), lambda: retina(images, locations), [images, locations])


def test_autocast_keeps_the_precision_of_places() -> None:
    images, locations, retina = torch.rand(2, 1, 60, 60), torch.rand(2, 2), Retina(5, scales=2)
    with torch.autocast("cpu", torch.bfloat16):
        found = retina(images, locations)
    torch.testing.assert_close(found.float(), retina(images, locations), rtol=0, atol=0.01)


def test_a_composed_glimpse_is_sharp_in_the_centre_and_blurred_around_it() -> None:
    images = torch.rand(1, 2, 16, 16)
    [patches] = Retina(4, scales=3)(images, torch.zeros(1, 2))
    image = composed(patches)
    assert image.shape == (2, 16, 16)
    torch.testing.assert_close(image[:, 6:10, 6:10], images[0, :, 6:10, 6:10])
    means = torch.nn.functional.avg_pool2d(images, 2)[0].repeat_interleave(2, 1).repeat_interleave(2, 2)
    torch.testing.assert_close(image[:, 4:6, 4:12], means[:, 4:6, 4:12])
    means = torch.nn.functional.avg_pool2d(images, 4)[0].repeat_interleave(4, 1).repeat_interleave(4, 2)
    torch.testing.assert_close(image[:, :4], means[:, :4])


def test_centres_are_in_pixels_from_the_corner() -> None:
    found = centres(torch.tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, 0.5]]), (60, 40))
    assert torch.equal(found, torch.tensor([[0.0, 0.0], [20.0, 30.0], [40.0, 45.0]]))


@pytest.mark.unhooked
def test_it_refuses() -> None:
    with pytest.raises(InvalidInput, match="patch_size must be at least 1, not 0"):
        Retina(0)
    with pytest.raises(InvalidInput, match="scales must be from 1 to 8, not 0"):
        Retina(3, scales=0)
    retina = Retina(3)
    with pytest.raises(InvalidInput, match=r"images must be \(batch, channels, rows, columns\), .*not \(2, 5, 5\)"):
        retina.prepare(torch.rand(2, 5, 5))
    with pytest.raises(InvalidInput, match=r"at least one pixel, not \(2, 1, 0, 5\)"):
        retina.prepare(torch.rand(2, 1, 0, 5))
    with pytest.raises(InvalidInput, match=r"locations must be \(2, 2\): x and y of each image, not \(3, 2\)"):
        retina(torch.rand(2, 1, 5, 5), torch.rand(3, 2))
    with pytest.raises(InvalidInput, match="floating"):
        retina.prepare(torch.zeros(2, 1, 5, 5, dtype=torch.uint8))
