"""The network against slow code over the names of timm 1.0.29.dev0 (commit aa4b585), models/visformer.py, with the same
random weights."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.explain.cam import cam, grad_cam
from saccade.nets.multiply_adds import multiply_adds
from saccade.nets.published import adopt
from saccade.nets.visformer import PUBLISHED, Visformer, visformer_small, visformer_tiny
from tests.checks import assert_twins, leaf, randomised

SIZE, HEADS, GROUPS, CLASSES, BATCH, IMAGE = 12, 3, 2, 5, 3, 32
LAYERS = (2, 1, 2)


def small(**options: Any) -> Visformer:
    sizes = {"image_size": IMAGE, "stem_channels": 5, "model_size": SIZE, "heads": HEADS, "layers": LAYERS}
    model = randomised(Visformer(CLASSES, **{**sizes, "groups": GROUPS, **options}), 0.3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model


def timm_state(model: Visformer) -> dict[str, Tensor]:
    """The weights and the statistics under timm's names."""
    parts: dict[str, Any] = {"stem.0": model.stem[0], "stem.1": model.stem[1], "norm": model.norm, "head": model.head}
    state = {}
    for number in (1, 2, 3):
        patches: Any = getattr(model, f"patches{number}")
        parts |= {f"patch_embed{number}.proj": patches.convolution, f"patch_embed{number}.norm": patches.norm}
        state[f"pos_embed{number}"] = patches.positions
        for layer, block in enumerate(getattr(model, f"stage{number}")):
            name = f"stage{number}.{layer}"
            parts |= {f"{name}.norm2": block.norm, f"{name}.mlp.conv1": block.convolutions.expand}
            parts[f"{name}.mlp.conv3"] = block.convolutions.reduce
            if number == 1:
                parts[f"{name}.mlp.conv2"] = block.convolutions.spatial
            else:
                parts[f"{name}.norm1"], attention = block.attention_norm, block.attention
                three = torch.cat([attention.query.weight, attention.key.weight, attention.value.weight])
                state[f"{name}.attn.qkv.weight"] = three[..., None, None]
                state[f"{name}.attn.proj.weight"] = attention.output.weight[..., None, None]
    for name, part in parts.items():
        own = {**dict(part.named_parameters()), **dict(part.named_buffers())}
        state |= {f"{name}.{kind}": tensor for kind, tensor in own.items()}
    return state


def slow(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """The blocks, one head at a time; the norms with their stored statistics."""

    def normed(x: Tensor, name: str) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{kind}"][:, None, None] for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def gelu(x: Tensor) -> Tensor:
        return x * (1 + torch.erf(x / 2**0.5)) / 2

    def convolved(x: Tensor, name: str, **options: Any) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **options)

    def attended(x: Tensor, name: str) -> Tensor:
        channels, (height, width) = x.shape[1], x.shape[2:]
        read = []
        for three in convolved(x, f"{name}.qkv").flatten(2):
            query, key, value = three.split(channels)
            heads = []
            for start in range(0, channels, channels // HEADS):
                q, k, v = (one[start : start + channels // HEADS] for one in (query, key, value))
                scores = torch.exp(q.T @ k / (channels // HEADS) ** 0.5)
                heads.append(v @ (scores / scores.sum(1, keepdim=True)).T)
            read.append(torch.cat(heads).view(channels, height, width))
        return convolved(torch.stack(read), f"{name}.proj")

    x = normed(convolved(images, "stem.0", stride=2, padding=3), "stem.1").relu()
    for number in (1, 2, 3):
        name = f"patch_embed{number}"
        x = normed(convolved(x, f"{name}.proj", stride=4 if number == 1 else 2), f"{name}.norm")
        x = x + state[f"pos_embed{number}"]
        for layer in range(LAYERS[number - 1]):
            block = f"stage{number}.{layer}"
            if number > 1:
                x = x + attended(normed(x, f"{block}.norm1"), f"{block}.attn")
            hidden = gelu(convolved(normed(x, f"{block}.norm2"), f"{block}.mlp.conv1"))
            if number == 1:
                hidden = gelu(convolved(hidden, f"{block}.mlp.conv2", padding=1, groups=GROUPS))
            x = x + convolved(hidden, f"{block}.mlp.conv3")
    return F.linear(normed(x, "norm").mean((2, 3)), state["head.weight"], state["head.bias"])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_it_equals_its_slow_twin(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(1)
    model, images = small().eval().to(dtype), leaf(BATCH, 3, IMAGE, IMAGE, dtype=dtype)
    assert_twins(
        lambda: model(images), lambda: slow(timm_state(model), images), [images, *model.parameters()], tolerance
    )


@pytest.mark.parametrize(
    ("make", "parameters", "billions"), [(visformer_tiny, 10_321_368, 1.27), (visformer_small, 40_219_592, 4.88)]
)
def test_the_published_sizes(make: Any, parameters: int, billions: float) -> None:
    with torch.device("meta"):
        model = make()
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    assert round(multiply_adds(model, torch.empty(1, 3, 224, 224)) / 1e9, 2) == billions


def test_weights_under_timms_names_are_loaded() -> None:
    model, other, images = small().eval(), small().eval(), torch.randn(BATCH, 3, IMAGE, IMAGE).double()
    state = {name: tensor.detach() for name, tensor in timm_state(model).items()}
    assert adopt(other, {**state, "ema": torch.zeros(1)}, PUBLISHED) == ["ema"]
    assert torch.equal(other(images), model(images))


def test_positions_are_interpolated_for_other_sizes() -> None:
    model = small().eval()
    assert model(leaf(BATCH, 3, 64, 96)).shape == (BATCH, CLASSES)
    for patches in (model.patches1, model.patches2, model.patches3):
        nn.init.ones_(patches.positions)  # a constant stays one at every size
    once = model.patches3(torch.zeros(1, SIZE, 2, 2).double())
    torch.testing.assert_close(model.patches3(torch.zeros(1, SIZE, 6, 8).double()), once.expand(1, -1, 3, 4))


def test_stochastic_depth_rises_over_all_stages() -> None:
    model = small(stochastic_depth=0.4)
    stages: list[Any] = [*model.stage1, *model.stage2, *model.stage3]
    assert [block.depth.p for block in stages] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_capture_hears_every_head_of_both_stages() -> None:
    model, images = small().eval(), torch.randn(BATCH, 3, 64, 64).double()
    with capture(model) as seen:
        model(images)
    shapes = {name: tuple(weights.shape) for name, (weights,) in seen.items()}
    assert shapes == {
        "stage2.0.attention.weights": (BATCH, HEADS, 16, 16),
        "stage3.0.attention.weights": (BATCH, HEADS, 4, 4),
        "stage3.1.attention.weights": (BATCH, HEADS, 4, 4),
    }
    for (weights,) in seen.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


def test_grad_cam_is_cam_up_to_the_mean() -> None:
    """The head is linear on the means of the last maps, so that Grad-CAM's weights are CAM's over the pixels."""
    model, images = small().eval(), torch.randn(BATCH, 3, 64, 96).double()
    found = grad_cam(model, images, 2, signed=True)
    assert (found.layer, found.maps.shape) == ("norm", (BATCH, 1, 2, 3))
    torch.testing.assert_close(found.maps * 6, cam(model, images, 2, signed=True).maps)


def test_other_strides_and_one_channel() -> None:
    model = small(image_size=28, channels=1, stem_stride=1, patches=(2, 2, 1))
    assert model.maps(leaf(BATCH, 1, 28, 28)).shape == (BATCH, 2 * SIZE, 7, 7)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, 3, 32, 40), "multiples of 32 pixels, not 32 x 40"),
        ((2, 1, 32, 32), r"\(batch, 3, rows, columns\), not \(2, 1, 32, 32\)"),
    ],
)
@pytest.mark.unhooked
def test_images_that_do_not_fit_are_refused(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        small()(torch.zeros(*shape).double())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 28}, "multiples of 32 pixels, not 28 x 28"),
        ({"heads": 5}, "5 heads do not divide a width of 12"),
        ({"groups": 5}, "a multiple of 5 groups, not 12"),
        ({"layers": (1, 0, 1)}, "layers must be at least 1, not 0"),
        ({"stochastic_depth": 1.0}, "from 0 to below 1, not 1.0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        small(**options)
