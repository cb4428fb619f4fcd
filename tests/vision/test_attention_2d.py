import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention import MultiHeadAttention
from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.vision import Attention2d, MultiHeadSelfAttention
from saccade.vision.attention_2d import from_convolution
from tests.checks import LargestTensor, assert_twins, leaf, randomised
from tests.vision import gates

BATCH, CHANNELS, HEIGHT, WIDTH, HEADS = 2, 5, 3, 2, 3
LARGEST = (5, 3)


def make(largest: tuple[int, int] | None, bias: bool = True, channels: int = CHANNELS) -> Attention2d:
    return Attention2d(channels, HEADS, largest=largest, head_size=2, value_size=3, output_size=7, bias=bias)


def slow(module: Attention2d, maps: Tensor, mask: Tensor | None = None) -> Tensor:
    """The equation of the file, one pair of pixels and one head at a time."""
    d, v = module.query.out_features // module.heads, module.value.out_features // module.heads
    (b, _, height, width), images = maps.shape, []
    pixels = list(itertools.product(range(height), range(width)))
    for n in range(b):
        outputs = []
        for y, x in pixels:
            contexts = []
            for h in range(module.heads):
                query = module.query(maps[n, :, y, x])[h * d : (h + 1) * d]
                scores, values = [], []
                for u, w in pixels:
                    if mask is not None and not mask[n, u, w]:
                        continue
                    key = module.key(maps[n, :, u, w])[h * d : (h + 1) * d]
                    if module.largest is not None:
                        key = key + module.rows[h, u - y + module.largest[0] - 1]
                        key = key + module.columns[h, w - x + module.largest[1] - 1]
                    scores.append(sum(query[i] * key[i] for i in range(d)) / d**0.5)
                    values.append(module.value(maps[n, :, u, w])[h * v : (h + 1) * v])
                heights = [torch.exp(score) for score in scores]
                parts = [e / sum(heights) * value for e, value in zip(heights, values, strict=True)]
                contexts.append(sum(parts, torch.zeros(v, dtype=maps.dtype)))
            outputs.append(module.output(torch.cat(contexts)))
        images.append(torch.stack(outputs, 1).view(-1, height, width))
    return torch.stack(images)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("largest", [None, LARGEST])
def test_it_equals_its_slow_twin(largest: tuple[int, int] | None, masked: bool) -> None:
    module, maps = randomised(make(largest, bias=not masked)), leaf(BATCH, CHANNELS, HEIGHT, WIDTH)
    mask = torch.tensor([[[1, 0], [1, 1], [0, 1]], [[0, 0], [0, 0], [0, 0]]]).bool() if masked else None
    assert_twins(lambda: module(maps, mask), lambda: slow(module, maps, mask), [maps, *module.parameters()])


@settings(max_examples=10)
@given(height=st.integers(1, 5), width=st.integers(1, 3), relative=st.booleans())
def test_any_map_up_to_the_largest(height: int, width: int, relative: bool) -> None:
    module, maps = randomised(make(LARGEST if relative else None)), leaf(1, CHANNELS, height, width)
    assert_twins(lambda: module(maps), lambda: slow(module, maps), [maps])


def test_content_only_is_multi_head_attention_of_the_pixels() -> None:
    module, other = Attention2d(12, 3).double(), MultiHeadAttention(12, 3).double()
    other.load_state_dict(module.state_dict())
    maps = leaf(BATCH, 12, HEIGHT, WIDTH)
    tokens = maps.flatten(2).mT
    assert_twins(lambda: module(maps), lambda: other(tokens, tokens).mT.reshape(maps.shape), [maps])


def test_content_only_moves_with_the_pixels_and_positions_do_not() -> None:
    maps, order = leaf(BATCH, CHANNELS, HEIGHT, WIDTH), torch.randperm(HEIGHT * WIDTH)
    moved = maps.flatten(2)[..., order].view_as(maps)
    for largest in (None, LARGEST):
        module = randomised(make(largest))
        same = torch.allclose(module(moved).flatten(2), module(maps).flatten(2)[..., order])
        assert same == (largest is None)


def test_masked_pixels_equal_pixels_cut_off() -> None:
    module, maps = randomised(make(LARGEST)), leaf(BATCH, CHANNELS, 5, 3)
    mask = torch.zeros(BATCH, 5, 3, dtype=torch.bool)
    mask[:, 1:4, :2] = True
    inside = module(maps, mask)[:, :, 1:4, :2]
    torch.testing.assert_close(inside, module(maps[:, :, 1:4, :2]))


@pytest.mark.parametrize("largest", [None, LARGEST])
def test_the_tap_hears_the_weights_and_replaces_them(largest: tuple[int, int] | None) -> None:
    module, maps = randomised(make(largest)), leaf(BATCH, CHANNELS, HEIGHT, WIDTH)
    (weights,) = gates.heard(module, maps).values()
    assert weights.shape == (BATCH, HEADS, HEIGHT * WIDTH, HEIGHT * WIDTH)
    values = module.value(maps.permute(0, 2, 3, 1)).view(BATCH, -1, HEADS, 3).transpose(1, 2)
    merged = module.output((weights @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(merged.mT.reshape(BATCH, 7, HEIGHT, WIDTH), module(maps))
    with capture(module, replace=lambda _, weights: torch.zeros_like(weights)):
        torch.testing.assert_close(module(maps), module.output.bias[:, None, None].expand(BATCH, -1, HEIGHT, WIDTH))


@pytest.mark.parametrize("largest", [None, (16, 16)])
def test_no_tensor_holds_every_pair_of_pixels(largest: tuple[int, int] | None) -> None:
    module, maps = Attention2d(2, 1, largest=largest), leaf(1, 2, 16, 16, dtype=torch.float32)
    with LargestTensor() as seen:
        module(maps).sum().backward()
    assert seen.elements < 16**4 / 4


@pytest.mark.parametrize("largest", [None, LARGEST])
@pytest.mark.parametrize("channels", [1, 5])
def test_any_size_works(channels: int, largest: tuple[int, int] | None) -> None:
    module = Attention2d(channels, HEADS, largest=largest, head_size=2, value_size=3)
    gates.check_odd_sizes(module, channels)
    gates.check_bfloat16(module, channels)


@pytest.mark.unhooked
@pytest.mark.parametrize("largest", [None, LARGEST])
def test_the_compiled_module_gives_the_same_results(largest: tuple[int, int] | None) -> None:
    gates.check_compiled(make(largest), CHANNELS)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (5, 3)])
def test_a_convolution_is_a_head_for_each_place_of_its_kernel(kernel: tuple[int, int]) -> None:
    convolution, maps = nn.Conv2d(5, 7, kernel).double(), leaf(BATCH, 5, 7, 11)
    attention = from_convolution(convolution, 7, 11)
    assert attention.heads == kernel[0] * kernel[1]
    down, across = (size // 2 for size in kernel)

    def convolved() -> Tensor:
        padded: Tensor = convolution(F.pad(maps, (across, across, down, down), mode="replicate"))
        return padded

    assert_twins(lambda: attention(maps), convolved, [maps])


def test_each_of_the_nine_heads_looks_at_one_pixel() -> None:
    attention = from_convolution(nn.Conv2d(2, 3, 3), 5, 7)
    (weights,) = gates.heard(attention, torch.randn(1, 2, 5, 7)).values()
    from_the_middle = weights[0, :, 2 * 7 + 3].view(9, 5, 7)
    for head, (y, x) in enumerate(itertools.product((1, 2, 3), (2, 3, 4))):
        assert from_the_middle[head, y, x] == 1
        assert from_the_middle[head].sum() == 1


def test_zeros_around_a_convolution_are_a_larger_map_cut() -> None:
    convolution, maps = nn.Conv2d(5, 7, 3, padding=1), torch.randn(BATCH, 5, 6, 4)
    attention = from_convolution(convolution, 8, 6)
    found = attention(F.pad(maps, (1, 1, 1, 1)))[..., 1:-1, 1:-1]
    torch.testing.assert_close(found, convolution(maps))


def test_the_summary_of_the_lecture() -> None:
    model = MultiHeadSelfAttention(dim=64)
    assert model.attention.heads == 8
    assert model.attention.query.out_features == 64
    tokens = torch.randn(2, 10, 64)
    torch.testing.assert_close(model(tokens), model.attention(tokens, tokens))
    assert sum(p.numel() for p in model.parameters()) == 4 * 64**2
    assert MultiHeadSelfAttention(64, 3, 5)(tokens).shape == (2, 10, 64)
    mask = torch.arange(10).expand(2, 10) < 4
    torch.testing.assert_close(model(tokens, mask)[:, :4], model(tokens[:, :4]))


@pytest.mark.unhooked
def test_bad_input_is_named() -> None:
    with pytest.raises(InvalidInput, match="3 heads do not divide 7 channels"):
        Attention2d(7, 3)
    for name in ("channels", "heads"):
        with pytest.raises(InvalidInput, match=f"{name} must be at least 1, not 0"):
            Attention2d(**({"channels": 6, "heads": 3} | {name: 0}))
    with pytest.raises(InvalidInput, match="columns must be at least 1, not 0"):
        Attention2d(6, 3, largest=(2, 0))
    with pytest.raises(InvalidInput, match="at most 5 x 3 pixels for their positions, not 5 x 4"):
        make(LARGEST)(torch.randn(1, CHANNELS, 5, 4))
    with pytest.raises(InvalidInput, match=r"a mask must be bool of shape \(2, 5, 3\), not torch.bool of \(2, 15\)"):
        make(None)(torch.randn(2, CHANNELS, 5, 3), torch.ones(2, 15).bool())
    with pytest.raises(InvalidInput, match="maps must have 5 channels, not 4"):
        make(None)(torch.randn(2, 4, 5, 3))
    with pytest.raises(InvalidInput, match="odd kernel, not 2 x 3"):
        from_convolution(nn.Conv2d(2, 3, (2, 3)), 5, 5)
    with pytest.raises(InvalidInput, match="stride 1, dilation 1 and one group"):
        from_convolution(nn.Conv2d(2, 3, 3, stride=2), 5, 5)
    with pytest.raises(InvalidInput, match="dim must be at least 1, not 0"):
        MultiHeadSelfAttention(dim=0)
