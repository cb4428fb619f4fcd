from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.nets.inception import PUBLISHED, Inception
from saccade.nets.multiply_adds import multiply_adds
from saccade.vision import SqueezeExcite
from tests.nets.convolutional import Weights, check_heat, check_learns, check_twins, drawn, listed, means, norm
from tests.nets.test_resnet import Ones


class Slow:
    """Table 1 of the paper over weights by their published names. Padding follows from a layer's place."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def conv(self, maps: Tensor, name: str, stride: int = 1, padded: bool = True) -> Tensor:
        kernel = self.weights[f"{name}.conv.weight"]
        padding = [side // 2 for side in kernel.shape[2:]] if padded and stride == 1 else [0, 0]
        return norm(F.conv2d(maps, kernel, None, stride, padding), self.weights, f"{name}.bn", 1e-3).relu()

    def chain(self, maps: Tensor, block: str, *names: str, last: int = 1) -> Tensor:
        for place, name in enumerate(names):
            maps = self.conv(maps, f"{block}.branch{name}", last if place == len(names) - 1 else 1)
        return maps

    def pooled(self, maps: Tensor, block: str) -> Tensor:
        return self.conv(F.avg_pool2d(maps, 3, 1, 1), f"{block}.branch_pool")

    def fives(self, x: Tensor, block: str) -> Tensor:
        threes = self.chain(x, block, "3x3dbl_1", "3x3dbl_2", "3x3dbl_3")
        return torch.cat([self.chain(x, block, "1x1"), self.chain(x, block, "5x5_1", "5x5_2"), threes,
                          self.pooled(x, block)], 1)  # fmt: skip

    def sixes(self, x: Tensor, block: str) -> Tensor:
        once = self.chain(x, block, "7x7_1", "7x7_2", "7x7_3")
        twice = self.chain(x, block, *(f"7x7dbl_{number}" for number in range(1, 6)))
        return torch.cat([self.chain(x, block, "1x1"), once, twice, self.pooled(x, block)], 1)

    def sevens(self, x: Tensor, block: str) -> Tensor:
        once, twice = self.chain(x, block, "3x3_1"), self.chain(x, block, "3x3dbl_1", "3x3dbl_2")
        split = [self.chain(once, block, "3x3_2a"), self.chain(once, block, "3x3_2b"),
                 self.chain(twice, block, "3x3dbl_3a"), self.chain(twice, block, "3x3dbl_3b")]  # fmt: skip
        return torch.cat([self.chain(x, block, "1x1"), *split, self.pooled(x, block)], 1)

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        x = self.conv(images, "Conv2d_1a_3x3", 2)
        x = self.conv(self.conv(x, "Conv2d_2a_3x3", padded=False), "Conv2d_2b_3x3")
        x = self.conv(self.conv(F.max_pool2d(x, 3, 2), "Conv2d_3b_1x1"), "Conv2d_4a_3x3", padded=False)
        x = F.max_pool2d(x, 3, 2)
        for block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = self.fives(x, block)
        threes = self.chain(x, "Mixed_6a", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3", last=2)
        x = torch.cat([self.chain(x, "Mixed_6a", "3x3", last=2), threes, F.max_pool2d(x, 3, 2)], 1)
        for block in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = self.sixes(x, block)
        auxiliary = None
        if min(x.shape[2:]) >= 17:
            small = self.conv(F.avg_pool2d(x, 5, 3), "AuxLogits.conv0")
            auxiliary = self.head(self.conv(small, "AuxLogits.conv1", padded=False), "AuxLogits.fc")
        sevens = self.chain(x, "Mixed_7a", "7x7x3_1", "7x7x3_2", "7x7x3_3", "7x7x3_4", last=2)
        x = torch.cat([self.chain(x, "Mixed_7a", "3x3_1", "3x3_2", last=2), sevens, F.max_pool2d(x, 3, 2)], 1)
        for block in ("Mixed_7b", "Mixed_7c"):
            x = self.sevens(x, block)
        return self.head(x, "fc"), auxiliary

    def head(self, maps: Tensor, name: str) -> Tensor:
        return means(maps) @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]


def test_it_equals_its_slow_twin() -> None:
    weights = drawn(listed("torchvision-inception_v3"))
    network = Inception(auxiliary=True)
    check_twins(
        network, lambda weights, images: Slow(weights)(images)[0], weights, PUBLISHED, torch.randn(1, 3, 83, 97)
    )
    images = torch.randn(1, 3, 299, 301)
    with torch.no_grad():
        ours, theirs = network(images), Slow({name: one.float() for name, one in weights.items()})(images)
        both = network.both(images)
    assert theirs[1] is not None
    torch.testing.assert_close(both.logits, ours)
    for our, their in zip(both, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-4 * float(their.abs().max()))


def test_parameters_and_multiply_adds_of_torchvision() -> None:
    with torch.device("meta"):
        network, plain = Inception(auxiliary=True), Inception()
    assert sum(weight.numel() for weight in network.parameters()) == 27_161_264
    assert multiply_adds(network, torch.empty(1, 3, 299, 299)) / 1e9 == pytest.approx(5.713, abs=5e-4)
    assert network.state_dict().keys() > plain.state_dict().keys()


def test_gates_of_ones_are_the_plain_network_exactly() -> None:
    seen: list[int] = []

    def ones(channels: int) -> nn.Module:
        seen.append(channels)
        return Ones()

    plain, gated, images = Inception(7), Inception(7, gate=ones), torch.randn(1, 3, 75, 81)
    gated.load_state_dict(plain.state_dict())
    assert torch.equal(gated.eval()(images), plain.eval()(images))
    assert seen == [256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048]


def test_gradients_reach_every_weight() -> None:
    check_learns(Inception(7, channels=1, gate=SqueezeExcite), torch.randn(2, 1, 107, 111), 7)


def test_grad_cam_finds_the_last_maps() -> None:
    check_heat(Inception(7), torch.randn(1, 3, 107, 139), "late", (2, 3))


def test_bad_input() -> None:
    network = Inception(7, auxiliary=True).eval()
    tries: list[tuple[Callable[[], object], str]] = [
        (lambda: Inception(0), "classes must be at least 1"),
        (lambda: network(torch.randn(1, 3, 74, 75)), "at least 75 x 75 pixels, not 74 x 75"),
        (lambda: network(torch.randn(1, 1, 75, 75)), r"images must be \(batch, 3, rows, columns\)"),
        (lambda: network.both(torch.randn(1, 3, 298, 299)), "at least 299 x 299 pixels"),
        (lambda: Inception(7).both(torch.randn(1, 3, 299, 299)), "no auxiliary head; build it with auxiliary=True"),
    ]
    for make, said in tries:
        with pytest.raises(InvalidInput, match=said):
            make()
    assert network(torch.randn(1, 3, 75, 75)).shape == (1, 7)
