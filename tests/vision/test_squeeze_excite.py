import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.vision import SqueezeExcite
from tests.checks import assert_twins, leaf, randomised
from tests.vision import gates

BATCH, CHANNELS, HEIGHT, WIDTH, REDUCTION = 2, 7, 5, 3, 3


def slow(maps: Tensor, inner: nn.Linear, outer: nn.Linear) -> Tensor:
    """Equations 2 to 4, one number at a time."""
    images = []
    for u in maps:
        channels, height, width = u.shape
        z = [sum(u[c, i, j] for i in range(height) for j in range(width)) / (height * width) for c in range(channels)]
        hidden = affine(z, inner)
        s = affine([torch.relu(value) for value in hidden], outer)
        for c in range(channels):
            images += [u[c, i, j] / (1 + torch.exp(-s[c])) for i in range(height) for j in range(width)]
    return torch.stack(images).view_as(maps)


def affine(x: list[Tensor], layer: nn.Linear) -> list[Tensor]:
    rows = [sum(weight * value for weight, value in zip(row, x, strict=True)) for row in layer.weight]
    return rows if layer.bias is None else [row + b for row, b in zip(rows, layer.bias, strict=True)]


@pytest.mark.parametrize("bias", [False, True])
def test_it_equals_its_slow_twin(bias: bool) -> None:
    gate, maps = randomised(SqueezeExcite(CHANNELS, reduction=REDUCTION, bias=bias)), leaf(BATCH, 7, HEIGHT, WIDTH)
    inner, outer = (layer for layer in gate.excitation if isinstance(layer, nn.Linear))
    assert inner.out_features == 2
    assert_twins(lambda: gate(maps), lambda: slow(maps, inner, outer), [maps, *gate.parameters()])


def test_the_tap_hears_the_gates() -> None:
    gate, maps = SqueezeExcite(CHANNELS, reduction=REDUCTION), torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH)
    (weights,) = gates.heard(gate, maps).values()
    torch.testing.assert_close(weights[..., None, None] * maps, gate(maps))
    torch.testing.assert_close(weights, gate.gate(maps))
    assert gate.gates.axes == ("b", "c")


def test_open_gates_are_the_identity_and_no_weights_halve() -> None:
    gate, maps = SqueezeExcite(CHANNELS, bias=True), torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH)
    for parameter in gate.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(gate(maps), maps / 2)
    outer = gate.excitation[-1]
    assert isinstance(outer, nn.Linear)
    nn.init.constant_(outer.bias, 100.0)
    torch.testing.assert_close(gate(maps), maps)


def test_replaced_gates_are_used() -> None:
    gate, maps = SqueezeExcite(CHANNELS), torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH)
    with capture(gate, replace=lambda _, weights: torch.zeros_like(weights)):
        assert not gate(maps).any()


def test_pixels_in_another_order_have_the_same_gates() -> None:
    gate, maps = SqueezeExcite(CHANNELS).double(), leaf(BATCH, CHANNELS, HEIGHT, WIDTH)
    moved = maps.flatten(2)[..., torch.randperm(HEIGHT * WIDTH)].view_as(maps)
    torch.testing.assert_close(gate.gate(maps), gate.gate(moved))


def test_parameters_are_those_of_the_paper() -> None:
    # section 4: 2 / r sum_s N_s C_s^2 for the stages of ResNet-50 with r = 16, about 2.5 million
    blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
    counted = sum(n * sum(p.numel() for p in SqueezeExcite(c).parameters()) for c, n in blocks.items())
    assert counted == sum(2 * n * c**2 for c, n in blocks.items()) // 16 == 2_514_944


@pytest.mark.parametrize("channels", [1, 7, 17])
@pytest.mark.parametrize("check", [gates.check_odd_sizes, gates.check_bfloat16, gates.check_huge])
def test_any_size_works(channels: int, check: object) -> None:
    assert callable(check)
    check(SqueezeExcite(channels), channels)  # most have fewer channels than the reduction


@pytest.mark.unhooked
def test_the_compiled_module_gives_the_same_results() -> None:
    gates.check_compiled(SqueezeExcite(CHANNELS), CHANNELS)


@pytest.mark.unhooked
def test_bad_input_is_named() -> None:
    with pytest.raises(InvalidInput, match="channels must be at least 1, not 0"):
        SqueezeExcite(0)
    with pytest.raises(InvalidInput, match="reduction must be at least 1, not 0"):
        SqueezeExcite(7, reduction=0)
    gate = SqueezeExcite(7)
    with pytest.raises(InvalidInput, match=r"maps must be \(batch, channels, rows, columns\), not \(7, 5, 3\)"):
        gate(torch.randn(7, 5, 3))
    with pytest.raises(InvalidInput, match="maps must have 7 channels, not 3"):
        gate(torch.randn(2, 3, 5, 3))
    with pytest.raises(InvalidInput, match="maps must have at least one pixel, not 0 x 3"):
        gate(torch.randn(2, 7, 0, 3))
