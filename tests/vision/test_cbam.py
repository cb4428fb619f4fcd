import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.vision import CBAM
from saccade.vision.cbam import ChannelGate, SpatialGate
from tests.checks import assert_twins, leaf, randomised
from tests.vision import gates
from tests.vision.test_squeeze_excite import affine

BATCH, CHANNELS, HEIGHT, WIDTH, REDUCTION, KERNEL = 2, 7, 5, 3, 3, 3


def slow_channels(maps: Tensor, module: ChannelGate) -> Tensor:
    """M_c(F) * F by equation 2, one number at a time."""
    inner, _, outer = module.perceptron
    assert isinstance(inner, nn.Linear)
    assert isinstance(outer, nn.Linear)
    values = []
    for image in maps:
        pixels = [[value for row in channel for value in row] for channel in image]
        pooled = ([sum(each) / len(each) for each in pixels], [torch.stack(each).max() for each in pixels])
        mean, largest = (affine([value.relu() for value in affine(each, inner)], outer) for each in pooled)
        for each, one, other in zip(pixels, mean, largest, strict=True):
            values += [value / (1 + torch.exp(-one - other)) for value in each]
    return torch.stack(values).view_as(maps)


def slow_places(maps: Tensor, module: SpatialGate) -> Tensor:
    """M_s(F) * F by equation 3, one number at a time; the norm is that of evaluation."""
    (b, c, height, width), reach, norm = maps.shape, module.convolution.kernel_size[0] // 2, module.norm
    weight = module.convolution.weight[0]
    gated = torch.empty(0, dtype=maps.dtype)
    for image in maps:
        mean = [[sum(image[:, y, x]) / c for x in range(width)] for y in range(height)]
        largest = [[image[:, y, x].max() for x in range(width)] for y in range(height)]
        rows = []
        for y in range(height):
            for x in range(width):
                score = torch.zeros((), dtype=maps.dtype)
                for i in range(max(y - reach, 0), min(y + reach + 1, height)):
                    for j in range(max(x - reach, 0), min(x + reach + 1, width)):
                        at = (i - y + reach, j - x + reach)
                        score = score + weight[0][at] * mean[i][j] + weight[1][at] * largest[i][j]
                if isinstance(norm, nn.BatchNorm2d):
                    assert norm.running_mean is not None
                    assert norm.running_var is not None
                    score = (score - norm.running_mean[0]) / (norm.running_var[0] + norm.eps) ** 0.5
                    score = score * norm.weight[0] + norm.bias[0]
                rows.append(image[:, y, x] / (1 + torch.exp(-score)))
        gated = torch.cat([gated, torch.stack(rows, 1).flatten()])
    return gated.view(b, c, height, width)


@pytest.mark.parametrize("released", [False, True])
def test_it_equals_its_slow_twin(released: bool) -> None:
    module = randomised(CBAM(CHANNELS, reduction=REDUCTION, kernel=KERNEL, bias=released, norm=released)).eval()
    if isinstance(module.spatial.norm, nn.BatchNorm2d):
        assert module.spatial.norm.running_mean is not None
        module.spatial.norm.running_mean.normal_()
    maps = leaf(BATCH, CHANNELS, HEIGHT, WIDTH)
    wrt = [maps, *module.parameters()]
    assert_twins(lambda: module(maps), lambda: slow_places(slow_channels(maps, module.channel), module.spatial), wrt)


def test_each_part_works_alone() -> None:
    maps = leaf(BATCH, CHANNELS, HEIGHT, WIDTH)
    channel, spatial = randomised(ChannelGate(CHANNELS)), randomised(SpatialGate())
    assert_twins(lambda: channel(maps), lambda: slow_channels(maps, channel), [maps])
    assert_twins(lambda: spatial(maps), lambda: slow_places(maps, spatial), [maps])


def test_no_weights_quarter_and_nothing_is_added() -> None:
    module, maps = CBAM(CHANNELS), torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH)
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(module(maps), maps / 4)


def test_equal_pixels_double_the_scores_of_squeeze_and_excitation() -> None:
    from saccade.vision import SqueezeExcite

    gate, plain = ChannelGate(CHANNELS), SqueezeExcite(CHANNELS)
    plain.excitation.load_state_dict(gate.perceptron.state_dict())
    maps = torch.randn(BATCH, CHANNELS, 1, 1).expand(-1, -1, HEIGHT, WIDTH)
    torch.testing.assert_close(gate.gate(maps).logit(), 2 * plain.gate(maps).logit())


def test_the_order_of_channels_does_not_matter_to_places_nor_that_of_pixels_to_channels() -> None:
    maps, spatial, channel = leaf(BATCH, CHANNELS, HEIGHT, WIDTH), SpatialGate().double(), ChannelGate(7).double()
    torch.testing.assert_close(spatial.gate(maps[:, torch.randperm(CHANNELS)]), spatial.gate(maps))
    moved = maps.flatten(2)[..., torch.randperm(HEIGHT * WIDTH)].view_as(maps)
    torch.testing.assert_close(channel.gate(moved), channel.gate(maps))


def test_the_taps_hear_the_gates() -> None:
    module, maps = CBAM(CHANNELS), torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH)
    heard = gates.heard(module, maps)
    channels, places = heard["channel.gates"], heard["spatial.gates"]
    torch.testing.assert_close(maps * channels[..., None, None] * places[:, None], module(maps))


@pytest.mark.parametrize("channels", [1, 17])
@pytest.mark.parametrize("check", [gates.check_odd_sizes, gates.check_bfloat16, gates.check_huge])
def test_any_size_works(channels: int, check: object) -> None:
    assert callable(check)
    check(CBAM(channels), channels)


@pytest.mark.unhooked
def test_the_compiled_module_gives_the_same_results() -> None:
    gates.check_compiled(CBAM(CHANNELS), CHANNELS)


@pytest.mark.unhooked
def test_bad_input_is_named() -> None:
    for kernel, wanted in ((4, "kernel must be odd, not 4"), (-1, "kernel must be at least 1, not -1")):
        with pytest.raises(InvalidInput, match=wanted):
            CBAM(7, kernel=kernel)
    with pytest.raises(InvalidInput, match="reduction must be at least 1, not 0"):
        CBAM(7, reduction=0)
    with pytest.raises(InvalidInput, match="maps must have 7 channels, not 3"):
        CBAM(7)(torch.randn(2, 3, 5, 3))
    with pytest.raises(InvalidInput, match=r"not \(7, 5, 3\)"):
        SpatialGate()(torch.randn(7, 5, 3))
    with pytest.raises(InvalidInput, match="maps must have 1 channels, not 0"):
        SpatialGate()(torch.randn(2, 0, 5, 3))
    with pytest.raises(InvalidInput, match="at least 2 pixels in training, not 1"):
        SpatialGate(norm=True)(torch.randn(1, 7, 1, 1))
