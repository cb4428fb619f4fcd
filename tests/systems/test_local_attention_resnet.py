from typing import Any

import pytest
import torch
from torch import nn

from saccade.core.errors import InvalidInput
from saccade.nets.multiply_adds import costs, multiply_adds
from saccade.systems.local_attention_resnet.recipe import RECIPE
from saccade.vision import AttentionStem, LocalAttention2d
from tests.systems import residual


def test_the_protocol_is_that_of_the_family() -> None:
    residual.check_protocols(RECIPE, {"cifar10": {"clip": 1.0}})  # unclipped, its loss becomes infinite


def test_parameters_and_multiply_adds() -> None:
    residual.check_costs(RECIPE, {
        "cifar10": (104_794, 70), "imagenet": (18_038_632, 4362), "imagenet-26": (10_342_632, 2719),
        "imagenet-38": (14_190_632, 3541), "imagenet-attention": (18_030_472, 4376),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "millions"),
    [("cifar10", 37), ("imagenet-26", 2194), ("imagenet-38", 2798), ("imagenet", 3403), ("imagenet-attention", 3417)],
)
def test_multiply_adds_in_windows(variant: str, millions: int) -> None:
    """Those of the equation: projections, keys, values, and relative rows and columns."""
    network, found = residual.sized(RECIPE, variant), 0

    class Counted(nn.Module):
        def __init__(self, attention: LocalAttention2d) -> None:
            super().__init__()
            self.of = [attention]

        def forward(self, maps: Any) -> Any:
            nonlocal found
            [attention], (height, width) = self.of, maps.shape[2:]
            outputs, window = attention.query.out_features, attention.window
            found += height * width * outputs * (3 * attention.channels + 2 * window**2 + window)
            sides = (-(-side // attention.stride) for side in (height, width))
            return maps.new_empty(len(maps), outputs, *sides)

    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, LocalAttention2d):
                setattr(module, name, Counted(child))
    side = 32 if variant == "cifar10" else 224
    rest = multiply_adds(network, torch.empty(1, 3, side, side))
    assert round((rest + found) / 1e6) == millions
    whole = residual.sized(RECIPE, variant)
    assert multiply_adds(whole, torch.empty(1, 3, side, side), windows=True) == rest + found
    measured = costs(whole, torch.empty(1, 3, side, side))
    assert measured["multiply_adds_in_windows"].value == (rest + found) / 1e6
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in whole.modules())


def test_attention_has_the_options_of_the_configuration() -> None:
    network = residual.sized(RECIPE, "cifar10", window=5, heads=4, border="pad", stages=[3], stem="attention")
    found = [module for module in network.modules() if isinstance(module, LocalAttention2d)]
    assert [(one.channels, one.stride) for one in found] == [(32, 2), *[(64, 1)] * 5]
    assert {(one.window, one.heads, one.border) for one in found} == {(5, 4, "pad")}
    assert isinstance(network.conv1, AttentionStem)
    assert network.conv1.heads == 4
    with pytest.raises(InvalidInput, match="no stage 4"):
        residual.sized(RECIPE, "cifar10", stages=[4])


def test_no_spatial_convolution_is_left() -> None:
    network = residual.sized(RECIPE, "imagenet-attention")
    kernels = {module.kernel_size for module in network.modules() if isinstance(module, nn.Conv2d)}
    assert kernels == {(1, 1)}
    assert network.maxpool.kernel_size == 4


def test_pictures() -> None:
    assert residual.pictures_of(residual.answered(RECIPE), RECIPE).keys() == {"grad-cam", "classes"}
