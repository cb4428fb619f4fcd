import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.vision import Attention2d, AttentionStem, LocalAttention2d, local_attention, local_tiles
from tests.checks import LargestTensor, assert_twins, leaf, randomised
from tests.vision import gates

BATCH, CHANNELS, HEIGHT, WIDTH, HEADS, OUTPUTS = 2, 7, 5, 3, 2, 8
BORDERS = ["mask", "pad"]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several tiles in small maps, the last of them smaller."""
    monkeypatch.setattr(local_tiles, "TILE", 2)


def make(channels: int = CHANNELS, stride: int = 1, **options: Any) -> LocalAttention2d:
    return LocalAttention2d(channels, OUTPUTS, stride, **{"window": 3, "heads": HEADS} | options)


def slow(module: LocalAttention2d, maps: Tensor) -> Tensor:
    """Equations 2 and 3, one pair of pixels and one head at a time, then the mean over squares of the stride."""
    d, reach, (b, _, height, width) = OUTPUTS // HEADS, module.window // 2, maps.shape
    images = []
    for n in range(b):
        read = {}
        for i, j in itertools.product(range(height), range(width)):
            contexts = []
            for h in range(module.heads):
                query, scores, values = module.query(maps[n, :, i, j])[h * d : (h + 1) * d], [], []
                around = itertools.product(range(i - reach, i + reach + 1), range(j - reach, j + reach + 1))
                for a, c in around:
                    inside = 0 <= a < height and 0 <= c < width
                    if not inside and module.border == "mask":
                        continue
                    pixel = maps[n, :, a, c] if inside else torch.zeros(maps.shape[1], dtype=maps.dtype)
                    score = sum(query * module.key(pixel)[h * d : (h + 1) * d])
                    if module.rows is not None and module.columns is not None:
                        r = torch.cat([module.rows[h, a - i + reach], module.columns[h, c - j + reach]])
                        score = score + sum(query * r)
                    scores.append(score)
                    values.append(module.value(pixel)[h * d : (h + 1) * d])
                heights = [torch.exp(score) for score in scores]
                contexts.append(sum(e / sum(heights) * value for e, value in zip(heights, values, strict=True)))
            read[i, j] = torch.cat(contexts)
        rows = []
        for top in range(0, height, module.stride):
            for left in range(0, width, module.stride):
                square = itertools.product(range(module.stride), range(module.stride))
                pixels = [read[top + a, left + c] for a, c in square if top + a < height and left + c < width]
                rows.append(sum(pixels) / len(pixels))
        images.append(torch.stack(rows, 1).view(OUTPUTS, -(-height // module.stride), -1))
    return torch.stack(images)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("stride", [1, 2])
def test_it_equals_its_slow_twin(stride: int, border: str, relative: bool) -> None:
    module = randomised(make(stride=stride, border=border, relative=relative))
    maps = leaf(BATCH, CHANNELS, HEIGHT, WIDTH)
    assert_twins(lambda: module(maps), lambda: slow(module, maps), [maps, *module.parameters()], 1e-10)


@settings(max_examples=10, deadline=None)
@given(
    height=st.integers(1, 5), width=st.integers(1, 3), window=st.sampled_from([1, 3, 5, 9]),
    border=st.sampled_from(BORDERS),
)  # fmt: skip
def test_any_map_and_any_window(height: int, width: int, window: int, border: str) -> None:
    module, maps = randomised(make(window=window, border=border)), leaf(1, CHANNELS, height, width)
    assert_twins(lambda: module(maps), lambda: slow(module, maps), [maps], 1e-10)


@pytest.mark.parametrize("tile", [1, 3, 8])
def test_tiles_do_not_change_the_result(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module, maps = randomised(make(window=5)), leaf(BATCH, CHANNELS, 11, 13)
    before = module(maps)
    slopes = torch.autograd.grad(before.square().sum(), [maps, *module.parameters()])
    monkeypatch.setattr(local_tiles, "TILE", tile)
    monkeypatch.setattr(local_tiles, "AT_ONCE", 1)  # one image after the other
    after = module(maps)
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(torch.autograd.grad(after.square().sum(), [maps, *module.parameters()]), slopes)


@pytest.mark.parametrize("border", BORDERS)
def test_autograd_alone_gives_the_same_gradients(border: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, maps = randomised(make(border=border)), leaf(BATCH, CHANNELS, HEIGHT, WIDTH)

    def plainly() -> Tensor:
        with monkeypatch.context() as patched:
            patched.setattr(local_attention, "own_backward", lambda: False)
            read: Tensor = module(maps)
        return read

    assert_twins(lambda: module(maps), plainly, [maps, *module.parameters()])


def test_without_positions_a_window_over_the_image_is_global_attention() -> None:
    module, maps = randomised(make(8, window=15, relative=False)), leaf(BATCH, 8, HEIGHT, WIDTH)
    other = Attention2d(8, HEADS).double()
    with torch.no_grad():
        other.query.weight.copy_(module.query.weight * 2)  # it divides by sqrt(4)
        other.key.weight.copy_(module.key.weight)
        other.value.weight.copy_(module.value.weight)
        other.output.weight.copy_(torch.eye(8))
    assert_twins(lambda: module(maps), lambda: other(maps), [maps])


def test_with_positions_a_window_over_the_image_is_global_attention() -> None:
    module, maps = randomised(make(8, window=13)), leaf(BATCH, 8, 7, 5)
    other = Attention2d(8, HEADS, largest=(7, 7)).double()
    assert module.rows is not None
    assert module.columns is not None
    with torch.no_grad():
        other.query.weight.copy_(module.query.weight * 2)
        other.key.weight.copy_(module.key.weight)
        other.value.weight.copy_(module.value.weight)
        other.output.weight.copy_(torch.eye(8))
        other.rows.copy_(F.pad(module.rows, (0, 2)))
        other.columns.copy_(F.pad(module.columns, (2, 0)))
    assert_twins(lambda: module(maps), lambda: other(maps), [maps])


def test_a_window_of_one_pixel_is_a_pointwise_convolution() -> None:
    module, maps = randomised(make(window=1)), leaf(BATCH, CHANNELS, HEIGHT, WIDTH)
    assert_twins(lambda: module(maps), lambda: F.conv2d(maps, module.value.weight[..., None, None]), [maps])


@pytest.mark.parametrize("border", BORDERS)
def test_what_moves_inside_the_image_is_read_alike(border: str) -> None:
    module, maps = randomised(make(window=5, border=border)), leaf(1, CHANNELS, 13, 11)
    moved = maps.roll((2, 3), (2, 3))
    torch.testing.assert_close(module(moved)[..., 4:-2, 5:-2], module(maps)[..., 2:-4, 2:-5])


def test_zeros_that_take_part_make_the_border_weaker() -> None:
    ones = torch.ones(1, CHANNELS, HEIGHT, WIDTH).double()
    masked, padded = (randomised(make(border=border, relative=False)) for border in BORDERS)
    padded.load_state_dict(masked.state_dict())
    everywhere = masked.value(ones[0, :, 0, 0])
    torch.testing.assert_close(masked(ones), everywhere[None, :, None, None].expand(1, -1, HEIGHT, WIDTH))
    torch.testing.assert_close(padded(ones)[..., 1:-1, 1:-1], masked(ones)[..., 1:-1, 1:-1])
    assert (padded(ones)[0, :, 0, 0].abs() < everywhere.abs()).all()


@pytest.mark.parametrize("border", BORDERS)
def test_the_tap_hears_the_weights_of_windows_and_replaces_them(border: str) -> None:
    module, maps = randomised(make(border=border)), leaf(BATCH, CHANNELS, HEIGHT, WIDTH)
    (weights,) = gates.heard(module, maps).values()
    assert weights.shape == (BATCH, HEADS, HEIGHT * WIDTH, 9)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    corner = weights[:, :, 0].unflatten(-1, (3, 3))
    assert (corner[..., 0, :].sum() == 0) == (border == "mask")

    def explicitly() -> Tensor:
        with capture(module, replace=lambda _, weights: weights):
            read: Tensor = module(maps)
        return read

    assert_twins(explicitly, lambda: module(maps), [maps, *module.parameters()])
    with capture(module, replace=lambda _, weights: torch.zeros_like(weights)):
        assert not module(maps).any()


def test_no_tensor_is_an_unfolded_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_tiles, "TILE", 8)
    module, maps = LocalAttention2d(32, 32, heads=4), leaf(1, 32, 40, 40, dtype=torch.float32)
    with LargestTensor() as seen:
        module(maps).sum().backward()
    assert seen.elements <= 4 * 8**2 * 14**2 * 1.5 < 32 * 40**2 * 49 / 10


@pytest.mark.parametrize("border", BORDERS)
def test_any_size_works(border: str) -> None:
    module = make(OUTPUTS, border=border)
    gates.check_odd_sizes(module, OUTPUTS)
    gates.check_bfloat16(module, OUTPUTS)


def test_a_backward_pass_under_autocast() -> None:
    module, maps = make().float(), leaf(BATCH, CHANNELS, HEIGHT, WIDTH, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        rough = torch.autograd.grad(module(maps).float().square().sum(), [maps, *module.parameters()])
    found = torch.autograd.grad(module(maps).square().sum(), [maps, *module.parameters()])
    for one, other in zip(rough, found, strict=True):
        assert (one - other).norm() < 0.05 * other.norm()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")
@pytest.mark.parametrize("border", BORDERS)
def test_a_gpu_gives_what_the_processor_gives(border: str) -> None:
    module, maps = make(border=border).float(), leaf(BATCH, CHANNELS, HEIGHT, WIDTH, dtype=torch.float32)
    read = module(maps)
    slopes = torch.autograd.grad(read.square().sum(), [maps, *module.parameters()])
    there, same = module.to("cuda"), maps.detach().to("cuda").requires_grad_()
    found = there(same)
    torch.testing.assert_close(found.cpu(), read, rtol=1e-3, atol=1e-4)
    moved = torch.autograd.grad(found.square().sum(), [same, *there.parameters()])
    torch.testing.assert_close([one.cpu() for one in moved], list(slopes), rtol=1e-3, atol=1e-4)


def test_a_second_derivative_is_refused() -> None:
    module, maps = make().double(), leaf(1, CHANNELS, HEIGHT, WIDTH)
    (slope,) = torch.autograd.grad(module(maps).square().sum(), maps, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


@pytest.mark.parametrize("border", BORDERS)
def test_a_forward_derivative_is_that_of_the_backward_pass(border: str) -> None:
    module, maps = randomised(make(border=border)), leaf(1, CHANNELS, HEIGHT, WIDTH)
    along, above = torch.randn_like(maps), torch.randn(1, OUTPUTS, HEIGHT, WIDTH).double()
    _, moved = torch.func.jvp(module, (maps.detach(),), (along,))
    (slope,) = torch.autograd.grad(module(maps), maps, above)
    torch.testing.assert_close((moved * above).sum(), (slope * along).sum())


@pytest.mark.unhooked
def test_the_compiled_module_gives_the_same_results() -> None:
    gates.check_compiled(make(), CHANNELS)
    gates.check_compiled(AttentionStem(CHANNELS, OUTPUTS, heads=HEADS), CHANNELS)


def slow_stem(module: AttentionStem, images: Tensor) -> Tensor:
    """Equations 4 and 5, one pair of pixels and one head at a time."""
    d, size, (b, _, height, width) = OUTPUTS // HEADS, module.block, images.shape
    projections = module.value.weight.unflatten(0, (-1, OUTPUTS))

    def value(n: int, a: int, c: int) -> Any:
        place = module.rows[a % size] + module.columns[c % size]
        heights = [torch.exp(sum(place * nu)) for nu in module.mixtures]
        matrix = sum(e / sum(heights) * one for e, one in zip(heights, projections, strict=True))
        return matrix @ images[n, :, a, c]

    made = []
    for n, i, j in itertools.product(range(b), range(height), range(width)):
        pixels = [
            (a, c)
            for a, c in itertools.product(range(height), range(width))
            if a // size == i // size and c // size == j // size
        ]
        contexts = []
        for h in range(HEADS):
            own = slice(h * d, (h + 1) * d)
            query = module.query(images[n, :, i, j])[own]
            heights = [torch.exp(sum(query * module.key(images[n, :, a, c])[own])) for a, c in pixels]
            parts = [e / sum(heights) * value(n, a, c)[own] for e, (a, c) in zip(heights, pixels, strict=True)]
            contexts.append(sum(parts))
        made.append(torch.cat(contexts))
    return torch.stack(made).view(b, height, width, OUTPUTS).permute(0, 3, 1, 2)


def test_the_stem_equals_its_slow_twin() -> None:
    module = randomised(AttentionStem(3, OUTPUTS, heads=HEADS, block=2, mixtures=5))
    images = leaf(BATCH, 3, 5, 3)
    assert_twins(lambda: module(images), lambda: slow_stem(module, images), [images, *module.parameters()], 1e-10)


def test_the_stem_takes_any_image() -> None:
    gates.check_odd_sizes(AttentionStem(6, 6, heads=HEADS), 6)
    gates.check_bfloat16(AttentionStem(6, 6, heads=HEADS), 6)
    stem = AttentionStem(3, OUTPUTS, heads=HEADS)
    assert stem(torch.randn(2, 3, 9, 5)).shape == (2, OUTPUTS, 9, 5)
    (weights,) = gates.heard(stem, torch.randn(2, 3, 9, 5)).values()
    assert weights.shape == (2 * 3 * 2, HEADS, 16, 16)
    torch.testing.assert_close(stem.shares().sum(-1), torch.ones(16))
    with capture(stem, replace=lambda _, weights: torch.zeros_like(weights)):
        assert not stem(torch.randn(2, 3, 9, 5)).any()


def test_it_stands_in_the_place_of_a_convolution() -> None:
    convolution, module = nn.Conv2d(16, 32, 3, 2, 1, bias=False), LocalAttention2d(16, 32, 2)
    maps = torch.randn(2, 16, 9, 14)
    assert module(maps).shape == convolution(maps).shape
    assert sum(p.numel() for p in module.parameters()) == 3 * 16 * 32 + 7 * 32


@pytest.mark.unhooked
def test_bad_input_is_named() -> None:
    for name in ("channels_in", "channels_out", "stride", "window", "heads"):
        with pytest.raises(InvalidInput, match=f"{name.replace('_', '.')} must be at least 1, not 0"):
            LocalAttention2d(**{"channels_in": 8, "channels_out": 16} | {name: 0})
    with pytest.raises(InvalidInput, match="window must be odd, not 4"):
        make(window=4)
    with pytest.raises(InvalidInput, match="3 heads do not divide 8 channels"):
        make(heads=3)
    with pytest.raises(InvalidInput, match="must be even, half for rows and half for columns, not 1"):
        make(heads=8)
    assert make(heads=8, relative=False).rows is None
    with pytest.raises(InvalidInput, match="border must be mask or pad, not wrap"):
        make(border="wrap")
    with pytest.raises(InvalidInput, match="maps must have 7 channels, not 4"):
        make()(torch.randn(2, 4, 5, 3))
    with pytest.raises(InvalidInput, match="at least one pixel, not 0 x 3"):
        make()(torch.randn(2, 7, 0, 3))
    with pytest.raises(InvalidInput, match="mixtures must be at least 1, not 0"):
        AttentionStem(3, 8, mixtures=0)
