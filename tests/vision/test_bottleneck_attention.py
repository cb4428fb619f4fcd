import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.vision import BottleneckAttention
from saccade.vision.bottleneck_attention import ChannelBranch, Combine, SpatialBranch
from tests.checks import assert_twins, leaf, randomised
from tests.vision import gates
from tests.vision.test_squeeze_excite import affine

BATCH, CHANNELS, HEIGHT, WIDTH, REDUCTION, DILATION = 3, 7, 5, 2, 3, 2
CHECKS = [gates.check_odd_sizes, gates.check_bfloat16, gates.check_huge]


def slow(module: BottleneckAttention, maps: Tensor) -> Tensor:
    """Equations 1 to 4, one number at a time, with the batch norm of training or of evaluation."""
    b, c, y, x = maps.shape
    inner, _, outer = module.channel.perceptron
    assert isinstance(inner, nn.Linear)
    assert isinstance(outer, nn.Linear)
    means = [[sum(maps[n, k, i, j] for i in range(y) for j in range(x)) / (y * x) for k in range(c)] for n in range(b)]
    scores = [affine([value.relu() for value in affine(mean, inner)], outer) for mean in means]
    by_channel = torch.stack([torch.stack(row) for row in scores])
    for k in range(c):  # not in place, for the gradients
        by_channel = by_channel.index_copy(
            1, torch.tensor([k]), normed(by_channel[:, k], module.channel.norm, k)[:, None]
        )
    found = maps
    for layer in module.spatial.convolutions:
        found = slow_convolution(found, layer) if isinstance(layer, nn.Conv2d) else found.relu()
    by_place = normed(found.flatten(), module.spatial.norm, 0).view(b, y, x)
    values = []
    for n in range(b):
        for k in range(c):
            for i in range(y):
                for j in range(x):
                    one, other = by_channel[n, k], by_place[n, i, j]
                    score = one + other if module.combine == "sum" else one * other
                    values.append(maps[n, k, i, j] + maps[n, k, i, j] / (1 + torch.exp(-score)))
    return torch.stack(values).view_as(maps)


def normed(values: Tensor, norm: nn.BatchNorm1d | nn.BatchNorm2d, k: int) -> Tensor:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean[k], norm.running_var[k]
    if norm.training:
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / len(values)
    return torch.stack([(v - mean) / (variance + norm.eps) ** 0.5 * norm.weight[k] + norm.bias[k] for v in values])


def slow_convolution(maps: Tensor, layer: nn.Conv2d) -> Tensor:
    b, _, height, width = maps.shape
    reach, step = layer.kernel_size[0] // 2, layer.dilation[0]
    assert layer.bias is not None
    values = []
    for image in maps:
        for o in range(layer.out_channels):
            for y in range(height):
                for x in range(width):
                    value = layer.bias[o]
                    for i in range(-reach, reach + 1):
                        for j in range(-reach, reach + 1):
                            if 0 <= y + i * step < height and 0 <= x + j * step < width:
                                pixel = image[:, y + i * step, x + j * step]
                                value = value + (layer.weight[o, :, i + reach, j + reach] * pixel).sum()
                    values.append(value)
    return torch.stack(values).view(b, layer.out_channels, height, width)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("combine", ["sum", "product"])
def test_it_equals_its_slow_twin(combine: Combine, training: bool) -> None:
    module = BottleneckAttention(CHANNELS, reduction=REDUCTION, dilation=DILATION, combine=combine)
    module, maps = randomised(module).train(training), leaf(BATCH, CHANNELS, HEIGHT, WIDTH)
    if not training:
        for norm in (module.channel.norm, module.spatial.norm):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    wrt = [maps, *module.parameters()]
    assert_twins(lambda: module(maps), lambda: slow(module, maps), wrt, tolerance=1e-10)


def test_scores_that_are_zero_or_far_below() -> None:
    maps = torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH)
    for combine, factor in (("sum", 1.0), ("product", 1.5)):
        module = BottleneckAttention(CHANNELS, combine=combine).eval()  # type: ignore[arg-type]
        for norm in (module.channel.norm, module.spatial.norm):
            nn.init.zeros_(norm.weight)
            nn.init.zeros_(norm.bias)
        torch.testing.assert_close(module(maps), 1.5 * maps)
        nn.init.constant_(module.channel.norm.bias, -100.0)  # the product with the other score stays 0
        torch.testing.assert_close(module(maps), factor * maps)


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (9, 4), (14, 14)])
def test_the_spatial_branch_keeps_the_size(size: tuple[int, int]) -> None:
    assert SpatialBranch(CHANNELS)(torch.randn(2, CHANNELS, *size)).shape == (2, *size)


def test_each_branch_works_alone() -> None:
    module, maps = BottleneckAttention(CHANNELS).eval(), torch.randn(2, CHANNELS, HEIGHT, WIDTH)
    scores = module.channel(maps)[..., None, None] + module.spatial(maps)[:, None]
    torch.testing.assert_close(module.gate(maps), scores.sigmoid())


def test_the_taps_hear_scores_and_gates() -> None:
    module, maps = BottleneckAttention(CHANNELS).eval(), torch.randn(2, CHANNELS, HEIGHT, WIDTH)
    heard = gates.heard(module, maps)
    assert {name: tuple(tensor.shape) for name, tensor in heard.items()} == {
        "channel.scores": (2, CHANNELS),
        "spatial.scores": (2, HEIGHT, WIDTH),
        "gates": (2, CHANNELS, HEIGHT, WIDTH),
    }
    torch.testing.assert_close(maps * (1 + heard["gates"]), module(maps))


@pytest.mark.parametrize("channels", [1, 17])
@pytest.mark.parametrize("check", CHECKS)
def test_any_size_works(channels: int, check: object) -> None:
    assert callable(check)
    check(BottleneckAttention(channels), channels)


@pytest.mark.unhooked
def test_the_compiled_module_gives_the_same_results() -> None:
    gates.check_compiled(BottleneckAttention(CHANNELS), CHANNELS)


def test_one_image_in_training_is_normalised_by_the_running_statistics() -> None:
    branch, maps = ChannelBranch(7), torch.randn(5, 7, 5, 3)
    for _ in range(3):
        branch(maps)
    before = branch.norm.running_mean.clone()  # type: ignore[union-attr]
    found = branch(maps[:1])
    torch.testing.assert_close(found, branch.eval()(maps[:1]))
    assert torch.equal(branch.norm.running_mean, before)
    gate = BottleneckAttention(7).train()
    assert gate(maps[:1]).isfinite().all()


@pytest.mark.unhooked
def test_bad_input_is_named() -> None:
    with pytest.raises(InvalidInput, match="combine must be 'sum' or 'product', not 'mean'"):
        BottleneckAttention(7, combine="mean")  # type: ignore[arg-type]
    for name in ("reduction", "dilation"):
        with pytest.raises(InvalidInput, match=f"{name} must be at least 1, not 0"):
            BottleneckAttention(7, **{name: 0})
    with pytest.raises(InvalidInput, match="maps must have 7 channels, not 3"):
        BottleneckAttention(7)(torch.randn(2, 3, 5, 3))
    with pytest.raises(InvalidInput, match="at least 2 pixels in training, not 1"):
        SpatialBranch(7)(torch.randn(1, 7, 1, 1))
