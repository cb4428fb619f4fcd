import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.nets.multiply_adds import multiply_adds
from saccade.nets.resnet import FORMS, PUBLISHED, PaddedShortcut, ResNet
from saccade.vision import CBAM, BottleneckAttention, SqueezeExcite
from tests.nets.convolutional import Weights, check_heat, check_learns, check_twins, drawn, listed, means, norm

IMAGES = (1, 3, 37, 45)
CIFAR = (2, 3, 11, 13)


def slow(weights: Weights, images: Tensor, training: bool = False) -> Tensor:
    """The equations over weights by their published names; the depth is in the names."""

    def block(name: str, maps: Tensor, stride: int) -> Tensor:
        bottleneck, branch = f"{name}.conv3.weight" in weights, maps
        for number in (1, 2, 3) if bottleneck else (1, 2):
            kernel = weights[f"{name}.conv{number}.weight"]
            here = stride if number == (2 if bottleneck else 1) else 1
            branch = F.conv2d(branch.relu() if number > 1 else maps, kernel, None, here, kernel.shape[-1] // 2)
            branch = norm(branch, weights, f"{name}.bn{number}", training=training)
        if f"{name}.se.fc1.weight" in weights:
            inner, outer = (f"{name}.se.{layer}" for layer in ("fc1", "fc2"))
            hidden = F.conv2d(means(branch)[..., None, None], weights[f"{inner}.weight"], weights[f"{inner}.bias"])
            score = F.conv2d(hidden.relu(), weights[f"{outer}.weight"], weights[f"{outer}.bias"])
            branch = branch / (1 + (-score).exp())
        if f"{name}.downsample.0.weight" in weights:
            maps = F.conv2d(maps, weights[f"{name}.downsample.0.weight"], None, stride)
            maps = norm(maps, weights, f"{name}.downsample.1", training=training)
        elif maps.shape != branch.shape:
            maps = padded(maps, branch)
        return (maps + branch).relu()

    large = weights["conv1.weight"].shape[-1] == 7
    maps = F.conv2d(images, weights["conv1.weight"], None, *((2, 3) if large else (1, 1)))
    maps = norm(maps, weights, "bn1", training=training).relu()
    maps = F.max_pool2d(maps, 3, 2, 1) if large else maps
    for stage in range(1, 5):
        for place in itertools.count():
            if f"layer{stage}.{place}.conv1.weight" not in weights:
                break
            maps = block(f"layer{stage}.{place}", maps, 2 if stage > 1 and place == 0 else 1)
    return means(maps) @ weights["fc.weight"].T + weights["fc.bias"]


def padded(maps: Tensor, branch: Tensor) -> Tensor:
    """Option A, pixel by pixel."""
    found = torch.zeros_like(branch)
    for row, column in itertools.product(range(branch.shape[2]), range(branch.shape[3])):
        found[:, : maps.shape[1], row, column] = maps[:, :, 2 * row, 2 * column]
    return found


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name.removeprefix("stages."): tuple(weight.shape) for name, weight in network.state_dict().items()}


@pytest.mark.parametrize("depth", [18, 50])
def test_it_equals_its_slow_twin(depth: int) -> None:
    weights = drawn(listed(f"torchvision-resnet{depth}"), 0.5)
    check_twins(ResNet(depth), slow, weights, PUBLISHED, torch.randn(*IMAGES))


def test_squeeze_and_excitation_stands_before_the_addition() -> None:
    network = ResNet(50, gate=lambda channels: SqueezeExcite(channels, bias=True))
    check_twins(network, slow, drawn(listed("timm-seresnet50"), 0.5), PUBLISHED, torch.randn(*IMAGES))


@pytest.mark.parametrize("depth", [34, 20, 32])
def test_the_other_depths_equal_their_slow_twins(depth: int) -> None:
    network = ResNet(depth, 7)
    images = torch.randn(*(IMAGES if depth == 34 else CIFAR))
    check_twins(network, slow, drawn(shapes(network), 0.5), PUBLISHED, images)


@pytest.mark.parametrize(("depth", "width", "first"), [(20, 0.5, 8), (20, 1.26, 20), (50, 0.25, 16)])
def test_a_width_multiplies_the_channels_of_all_stages(depth: int, width: float, first: int) -> None:
    network, plain = ResNet(depth, 7, width=width), ResNet(depth, 7)
    whole = {name: len(weight) for name, weight in plain.state_dict().items() if name.endswith("conv2.weight")}
    found = {name: len(weight) for name, weight in network.state_dict().items() if name in whole}
    share = first / len(plain.conv1.weight)  # type: ignore[arg-type]
    assert found == {name: channels * share for name, channels in whole.items()}
    images = torch.randn(*(CIFAR if depth == 20 else IMAGES))
    check_twins(network, slow, drawn(shapes(network), 0.5), PUBLISHED, images)


def test_it_equals_its_slow_twin_in_training() -> None:
    network = ResNet(20, 7).double().train()
    weights = {name.removeprefix("stages."): weight for name, weight in network.state_dict().items()}
    images = torch.randn(*CIFAR, dtype=torch.float64)
    torch.testing.assert_close(network(images), slow(weights, images, training=True), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("depth", "parameters", "giga"),
    # the others take long to count
    [(18, 11_689_512, 1.814), (34, 21_797_672, None), (50, 25_557_032, 4.089), (101, 44_549_160, None),
     (152, 60_192_808, None)],
)  # fmt: skip
def test_parameters_and_multiply_adds_of_torchvision(depth: int, parameters: int, giga: float | None) -> None:
    with torch.device("meta"):
        network = ResNet(depth)
    assert sum(weight.numel() for weight in network.parameters()) == parameters
    if giga is not None:
        assert multiply_adds(network, torch.empty(1, 3, 224, 224)) / 1e9 == pytest.approx(giga, abs=5e-4)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_parameters_of_the_networks_for_cifar(depth: int, millions: float) -> None:
    """He et al. 2016, table 6."""
    with torch.device("meta"):
        network = ResNet(depth, 10)
    found = sum(weight.numel() for weight in network.parameters()) / 1e6
    assert round(found, 1 if depth == 110 else 2) == millions
    assert 2 + 2 * sum(FORMS[depth].blocks) == depth


def test_squeeze_and_excitation_has_the_parameters_of_the_paper() -> None:
    """2 / r of the sum of squares of the channels of all blocks (Hu et al. 2018, section 4): 2.5 million."""
    with torch.device("meta"):
        plain, gated = ResNet(50), ResNet(50, gate=SqueezeExcite)
    more = sum(w.numel() for w in gated.parameters()) - sum(w.numel() for w in plain.parameters())
    assert more == 2 * (3 * 256**2 + 4 * 512**2 + 6 * 1024**2 + 3 * 2048**2) // 16


class Ones(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps * torch.ones_like(maps)


@pytest.mark.parametrize("depth", [18, 50, 20])
def test_gates_of_ones_are_the_plain_network_exactly(depth: int) -> None:
    plain, images = ResNet(depth, 7), torch.randn(2, 3, 33, 35)
    seen: list[int] = []

    def ones(channels: int) -> nn.Module:
        seen.append(channels)
        return Ones()

    gated = ResNet(depth, 7, gate=ones, between=ones, drop=lambda depth: Ones())
    gated.load_state_dict(plain.state_dict())
    assert torch.equal(gated.eval()(images), plain.eval()(images))
    blocks, stages = sum(FORMS[depth].blocks), len(FORMS[depth].blocks)
    assert len(seen) == blocks + stages - 1


def test_gates_see_the_branch_and_modules_between_stages_their_maps() -> None:
    places: dict[int, list[tuple[int, ...]]] = {}

    def watching(at: int) -> Callable[[int], nn.Module]:
        def made(channels: int) -> nn.Module:
            module = nn.Identity()
            module.register_forward_hook(lambda _, given, made: places.setdefault(at, []).append(given[0].shape[1:]))
            return module

        return made

    ResNet(50, gate=watching(0), between=watching(1))(torch.randn(2, 3, 65, 97))
    assert places[1] == [(256, 17, 25), (512, 9, 13), (1024, 5, 7)]
    assert places[0] == 3 * [(256, 17, 25)] + 4 * [(512, 9, 13)] + 6 * [(1024, 5, 7)] + 3 * [(2048, 3, 4)]


@pytest.mark.parametrize("depth", [18, 50, 20])
def test_convolutions_of_chosen_stages_are_replaced(depth: int) -> None:
    seen: list[tuple[int, int, int]] = []

    def other(inputs: int, outputs: int, stride: int) -> nn.Module:
        seen.append((inputs, outputs, stride))
        return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)

    plain, changed = ResNet(depth, 7), ResNet(depth, 7, spatial={2: other, 3: other})
    expected = {
        18: [(64, 128, 2), (128, 128, 1), (128, 128, 1), (128, 128, 1),
             (128, 256, 2), (256, 256, 1), (256, 256, 1), (256, 256, 1)],
        50: [(128, 128, 2), *3 * [(128, 128, 1)], (256, 256, 2), *5 * [(256, 256, 1)]],
        20: [(16, 32, 2), *5 * [(32, 32, 1)], (32, 64, 2), *5 * [(64, 64, 1)]],
    }  # fmt: skip
    assert seen == expected[depth]
    changed.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 33, 35)
    assert torch.equal(changed.eval()(images), plain.eval()(images))


def test_drops_know_how_deep_they_are_and_act_on_the_branch() -> None:
    class Zero(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return torch.zeros_like(maps)

    depths: list[float] = []

    def drop(depth: float) -> nn.Module:
        depths.append(depth)
        return Zero()

    network, images = ResNet(20, 7, drop=drop).eval(), torch.randn(*CIFAR)
    assert depths == pytest.approx([place / 8 for place in range(9)])
    stem = F.relu(network.bn1(network.conv1(images)))
    shrunk = F.pad(stem[:, :, ::2, ::2][:, :, ::2, ::2], (0, 0, 0, 0, 0, 48))
    torch.testing.assert_close(network(images), network.fc(shrunk.mean((2, 3))))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (32, 33), (57, 43)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_any_size_and_number_of_channels(size: tuple[int, int], channels: int) -> None:
    for depth in (18, 20):
        network = ResNet(depth, 11, channels=channels).eval()
        logits = network(torch.randn(2, channels, *size))
        assert logits.shape == (2, 11)
        assert logits.isfinite().all()
        assert network(torch.randn(0, channels, *size)).shape == (0, 11)


@pytest.mark.parametrize(
    "sockets", [{}, {"gate": SqueezeExcite}, {"gate": CBAM}, {"between": BottleneckAttention}], ids=str
)
@pytest.mark.parametrize("depth", [18, 20])
def test_gradients_reach_every_weight(sockets: dict[str, type[nn.Module]], depth: int) -> None:
    check_learns(ResNet(depth, 7, channels=1, **sockets), torch.randn(3, 1, 36, 47), 7)  # type: ignore[arg-type]


@pytest.mark.parametrize("sockets", [{}, {"gate": CBAM}, {"between": BottleneckAttention}], ids=str)
def test_grad_cam_finds_the_last_maps(sockets: dict[str, type[nn.Module]]) -> None:
    check_heat(ResNet(18, 7, **sockets), torch.randn(2, 3, 97, 65), "stages", (4, 3))  # type: ignore[arg-type]
    check_heat(ResNet(20, 7, **sockets), torch.randn(2, 3, 32, 32), "stages", (8, 8))  # type: ignore[arg-type]


def test_the_padded_shortcut_keeps_pixels_and_adds_channels_of_zeros() -> None:
    maps = torch.randn(2, 3, 5, 7)
    found = PaddedShortcut(3, 8, 2)(maps)
    assert found.shape == (2, 8, 3, 4)
    assert torch.equal(found[:, :3], maps[:, :, ::2, ::2])
    assert not found[:, 3:].any()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ResNet(21), "depth must be one of 18, 20, 26, 32, 34, 38, 44, 50, 56, 101, 110, 152, not 21"),
        (lambda: ResNet(18, 0), "classes must be at least 1"),
        (lambda: ResNet(18, channels=0), "channels must be at least 1"),
        (lambda: ResNet(20, width=0.01), "channels of the first stage must be at least 1"),
        (lambda: ResNet(20, spatial={4: lambda *_: nn.Identity()}), "ResNet-20 has the stages 1 to 3, and no stage 4"),
        (
            lambda: ResNet(20)(torch.randn(2, 1, 9, 9)),
            r"images must be \(batch, 3, rows, columns\), not \(2, 1, 9, 9\)",
        ),
        pytest.param(lambda: ResNet(20)(torch.randn(3, 9, 9)), r"not \(3, 9, 9\)", marks=pytest.mark.unhooked),
        (lambda: ResNet(20)(torch.randn(2, 3, 0, 9)), "at least 1 x 1 pixels, not 0 x 9"),
    ],
)
def test_bad_input(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make()
