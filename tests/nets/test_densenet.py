from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.nets.densenet import PUBLISHED, DenseNet
from saccade.nets.multiply_adds import multiply_adds
from saccade.vision import SqueezeExcite
from tests.nets.convolutional import Weights, check_heat, check_learns, check_twins, drawn, listed, means, norm
from tests.nets.test_resnet import Ones


def slow(weights: Weights, images: Tensor) -> Tensor:
    """The equations over weights by their published names: each layer reads the maps of all before it."""

    def conv(maps: Tensor, name: str, norm_name: str, padding: int = 0) -> Tensor:
        return F.conv2d(norm(maps, weights, norm_name).relu(), weights[f"{name}.weight"], None, 1, padding)

    maps = F.conv2d(images, weights["features.conv0.weight"], None, 2, 3)
    maps = F.max_pool2d(norm(maps, weights, "features.norm0").relu(), 3, 2, 1)
    for block in range(1, 5):
        before = [maps]
        for layer in range(1, 100):
            name = f"features.denseblock{block}.denselayer{layer}"
            if f"{name}.conv1.weight" not in weights:
                break
            hidden = conv(torch.cat(before, 1), f"{name}.conv1", f"{name}.norm1")
            before.append(conv(hidden, f"{name}.conv2", f"{name}.norm2", 1))
        maps = torch.cat(before, 1)
        if block < 4:
            name = f"features.transition{block}"
            maps = conv(maps, f"{name}.conv", f"{name}.norm")
            rows, columns = maps.shape[2] // 2 * 2, maps.shape[3] // 2 * 2
            quarters = [maps[:, :, i:rows:2, j:columns:2] for i in (0, 1) for j in (0, 1)]
            maps = torch.stack(quarters).mean(0)
    maps = norm(maps, weights, "features.norm5").relu()
    return means(maps) @ weights["classifier.weight"].T + weights["classifier.bias"]


def test_it_equals_its_slow_twin() -> None:
    weights = drawn(listed("torchvision-densenet121"))
    check_twins(DenseNet(121), slow, weights, PUBLISHED, torch.randn(1, 3, 33, 43))


@pytest.mark.parametrize(
    ("depth", "parameters", "giga"),
    # the others take long to count
    [(121, 7_978_856, 2.834), (161, 28_681_000, None), (169, 14_149_480, None), (201, 20_013_928, None)],
)
def test_parameters_and_multiply_adds_of_torchvision(depth: int, parameters: int, giga: float | None) -> None:
    with torch.device("meta"):
        network = DenseNet(depth)
    assert sum(weight.numel() for weight in network.parameters()) == parameters
    if giga is not None:
        assert multiply_adds(network, torch.empty(1, 3, 224, 224)) / 1e9 == pytest.approx(giga, abs=5e-4)


def test_gates_of_ones_are_the_plain_network_exactly() -> None:
    seen: list[int] = []

    def ones(channels: int) -> nn.Module:
        seen.append(channels)
        return Ones()

    plain, gated, images = DenseNet(121, 7), DenseNet(121, 7, gate=ones), torch.randn(1, 3, 33, 35)
    gated.load_state_dict(plain.state_dict())
    assert torch.equal(gated.eval()(images), plain.eval()(images))
    assert seen == [*6 * [32], 128, *12 * [32], 256, *24 * [32], 512, *16 * [32]]


def test_gradients_reach_every_weight() -> None:
    check_learns(DenseNet(121, 7, channels=1, gate=SqueezeExcite), torch.randn(2, 1, 65, 71), 7)


def test_grad_cam_finds_the_last_maps() -> None:
    check_heat(DenseNet(121, 7), torch.randn(1, 3, 65, 97), "features", (2, 3))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DenseNet(120), "depth must be one of 121, 161, 169, 201, not 120"),
        (lambda: DenseNet(121, 0), "classes must be at least 1"),
        (lambda: DenseNet(121, 7)(torch.randn(1, 1, 33, 33)), r"images must be \(batch, 3, rows, columns\)"),
        (lambda: DenseNet(121, 7)(torch.randn(1, 3, 28, 33)), "at least 29 x 29 pixels, not 28 x 33"),
    ],
)
def test_bad_input(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make()
    assert DenseNet(121, 7).eval()(torch.randn(1, 3, 29, 29)).shape == (1, 7)
