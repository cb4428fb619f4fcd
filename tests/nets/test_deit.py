"""The network against slow code over the names of timm 1.0.29.dev0 (commit aa4b585), models/vision_transformer.py and
models/deit.py, with the same random weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.explain.cam import grad_cam
from saccade.nets.deit import PUBLISHED, DeiT, deit_base, deit_small, deit_tiny
from saccade.nets.multiply_adds import multiply_adds
from saccade.nets.published import adopt
from saccade.runs.foreign import read_weights
from tests.checks import assert_twins, leaf, randomised

PATCH, SIZE, HEADS, LAYERS, HIDDEN, CLASSES, BATCH = 3, 10, 2, 3, 13, 5, 2
both_kinds = pytest.mark.parametrize("distilled", [False, True], ids=["plain", "distilled"])


def small(distilled: bool = False, **options: Any) -> DeiT:
    sizes = {"image_size": 12, "patch_size": PATCH, "model_size": SIZE, "layers": LAYERS, "hidden_size": HIDDEN}
    return randomised(DeiT(CLASSES, **{**sizes, "heads": HEADS, "distilled": distilled, **options}), 0.3)


def timm_state(model: DeiT) -> dict[str, Tensor]:
    """The weights under timm's names."""
    state = {"cls_token": model.class_token, "pos_embed": model.positions}
    if model.distillation_token is not None:
        state["dist_token"] = model.distillation_token
    parts: dict[str, Any] = {"patch_embed.proj": model.patches, "norm": model.norm, "head": model.head}
    if model.distillation_head is not None:
        parts["head_dist"] = model.distillation_head
    blocks: Any = model.blocks
    for number, block in enumerate(blocks):
        attention = block.attention
        for kind in ("weight", "bias"):
            three = [getattr(one, kind) for one in (attention.query, attention.key, attention.value)]
            state[f"blocks.{number}.attn.qkv.{kind}"] = torch.cat(three)
        own = {"norm1": block.attention_norm, "attn.proj": attention.output, "norm2": block.hidden_norm}
        own |= {"mlp.fc1": block.hidden, "mlp.fc2": block.output}
        parts |= {f"blocks.{number}.{name}": part for name, part in own.items()}
    for name, part in parts.items():
        state |= {f"{name}.weight": part.weight, f"{name}.bias": part.bias}
    return state


def slow(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """Equations 1 to 4 of Dosovitskiy et al., one image, one patch and one head at a time."""
    return torch.stack([torch.stack(slow_heads(state, image)).mean(0) for image in images])


def slow_heads(state: dict[str, Tensor], image: Tensor) -> list[Tensor]:
    def affine(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def normed(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    kernel = state["patch_embed.proj.weight"].flatten(1)
    tokens = [state[name][0, 0] for name in ("cls_token", "dist_token") if name in state]
    first = len(tokens)
    for row in range(0, image.shape[1], PATCH):
        for column in range(0, image.shape[2], PATCH):
            patch = image[:, row : row + PATCH, column : column + PATCH].flatten()
            tokens.append(kernel @ patch + state["patch_embed.proj.bias"])
    x = torch.stack(tokens) + state["pos_embed"][0]
    for number in range(LAYERS):
        name = f"blocks.{number}"
        query, key, value = affine(normed(x, f"{name}.norm1"), f"{name}.attn.qkv").split(SIZE, 1)
        read = []
        for start in range(0, SIZE, SIZE // HEADS):
            q, k, v = (one[:, start : start + SIZE // HEADS] for one in (query, key, value))
            scores = torch.exp(q @ k.T / (SIZE // HEADS) ** 0.5)
            read.append(scores / scores.sum(1, keepdim=True) @ v)
        x = x + affine(torch.cat(read, 1), f"{name}.attn.proj")
        hidden = affine(normed(x, f"{name}.norm2"), f"{name}.mlp.fc1")
        x = x + affine(hidden * (1 + torch.erf(hidden / 2**0.5)) / 2, f"{name}.mlp.fc2")
    x = normed(x, "norm")
    return [affine(x[number], name) for number, name in enumerate(("head", "head_dist")[:first])]


@both_kinds
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_it_equals_its_slow_twin(distilled: bool, dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(1)
    model, images = small(distilled).to(dtype), leaf(BATCH, 3, 12, 12, dtype=dtype)
    assert_twins(
        lambda: model(images), lambda: slow(timm_state(model), images), [images, *model.parameters()], tolerance
    )


def test_each_head_has_its_token_in_training_too() -> None:
    model, images = small(True).train(), leaf(BATCH, 3, 12, 12)
    of_class, of_distillation = model.logits(images)
    assert of_distillation is not None
    heads = [slow_heads(timm_state(model), image) for image in images]
    for number, ours in enumerate((of_class, of_distillation)):
        torch.testing.assert_close(ours, torch.stack([both[number] for both in heads]))
    torch.testing.assert_close(model(images), (of_class + of_distillation) / 2)
    assert small().logits(images).of_distillation is None


@pytest.mark.parametrize(
    ("make", "parameters", "billions"),
    [
        (deit_tiny, 5_717_416, 1.25),
        (deit_small, 22_050_664, 4.60),
        (lambda: deit_small(distilled=True), 22_436_432, 4.62),
        (deit_base, 86_567_656, 17.56),
    ],
)
def test_the_published_sizes(make: Any, parameters: int, billions: float) -> None:
    with torch.device("meta"):
        model = make()
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    assert round(multiply_adds(model, torch.empty(1, 3, 224, 224)) / 1e9, 2) == billions


@both_kinds
@pytest.mark.parametrize("kind", ["state", "model", "safetensors"])
def test_files_of_timm_and_of_the_authors_are_loaded(distilled: bool, kind: str, tmp_path: Path) -> None:
    model, images = small(distilled), torch.randn(BATCH, 3, 12, 12).double()
    state = {name: tensor.detach() for name, tensor in timm_state(model).items()}
    if kind == "safetensors":
        save_file(state, tmp_path / "file")
    else:
        torch.save(state if kind == "state" else {"model": state, "epoch": 3}, tmp_path / "file")
    other = small(distilled)
    assert adopt(other, read_weights(tmp_path / "file"), PUBLISHED) == []
    assert torch.equal(other(images), model(images))


def test_the_weights_of_another_network_are_refused() -> None:
    state = {name: tensor.detach() for name, tensor in timm_state(small()).items()}
    said = refused(small(True), state)
    assert said.startswith("the file holds the weights of another network; 4 of ")
    assert "dist_token (1, 1, 10) is missing; pos_embed is (1, 17, 10), not (1, 18, 10); head_dist.weight (5" in said
    assert "attn.qkv.weight[1/3] (10, 10) is missing" in refused(small(), {})
    wide = {**state, "blocks.1.attn.qkv.bias": torch.zeros(31)}
    assert "3 of 56 differ: blocks.1.attn.qkv.bias[1/3] is (31,), not (10,); " in refused(small(), wide)


def refused(model: DeiT, weights: dict[str, Tensor]) -> str:
    with pytest.raises(InvalidInput) as raised:
        adopt(model, weights, PUBLISHED)
    return str(raised.value)


def test_positions_are_interpolated_for_other_sizes_and_otherwise_kept() -> None:
    model = small()
    assert torch.equal(model.positions_of(4, 4), model.positions)
    assert model(leaf(BATCH, 3, 15, 9)).shape == (BATCH, CLASSES)
    wide = model.positions_of(5, 3)
    torch.testing.assert_close(wide[:, :1], model.positions[:, :1])
    grid = model.positions[:, 1:].mT.reshape(1, SIZE, 4, 4)
    again = F.interpolate(grid, (5, 3), mode="bicubic", align_corners=False).flatten(2).mT
    torch.testing.assert_close(wide[:, 1:], again)


def test_stochastic_depth_rises_and_is_only_for_training() -> None:
    model, images = small(stochastic_depth=0.4), leaf(BATCH, 3, 12, 12)
    blocks: Any = model.blocks
    assert [block.depth.p for block in blocks] == pytest.approx([0, 0.2, 0.4])
    assert not torch.equal(model(images), model(images))
    torch.testing.assert_close(model.eval()(images), slow(timm_state(model), images))


@both_kinds
def test_capture_hears_every_head(distilled: bool) -> None:
    model, images = small(distilled), torch.randn(BATCH, 3, 12, 12).double()
    with capture(model) as seen:
        model(images)
    tokens = 16 + (2 if distilled else 1)
    assert list(seen) == [f"blocks.{layer}.attention.weights" for layer in range(LAYERS)]
    for (weights,) in seen.values():
        assert weights.shape == (BATCH, HEADS, tokens, tokens)
        torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, HEADS, tokens).double())


@both_kinds
@pytest.mark.parametrize("size", [(12, 12), (9, 15)])
def test_grad_cam_finds_the_grid_of_tokens(distilled: bool, size: tuple[int, int]) -> None:
    found = grad_cam(small(distilled), torch.randn(BATCH, 3, *size).double(), [[0, 4]])
    assert found.maps.shape == (BATCH, 2, size[0] // PATCH, size[1] // PATCH)
    assert found.layer == f"blocks.{LAYERS - 1}.attention_norm"
    assert found.maps.any()


def test_one_channel() -> None:
    assert small(channels=1)(leaf(BATCH, 1, 12, 12)).shape == (BATCH, CLASSES)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, 3, 12, 13), "multiples of 3 pixels, not 12 x 13"),
        ((2, 3, 0, 12), "at least 1 x 1 pixels, not 0 x 12"),
        ((2, 1, 12, 12), r"\(batch, 3, rows, columns\), not \(2, 1, 12, 12\)"),
        ((3, 12, 12), r"\(batch, 3, rows, columns\), not \(3, 12, 12\)"),
    ],
)
@pytest.mark.unhooked
def test_images_that_do_not_fit_are_refused(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        small()(torch.zeros(*shape).double())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 13}, "multiples of 3 pixels, not 13 x 13"),
        ({"heads": 3}, "3 heads do not divide a width of 10"),
        ({"layers": 0}, "layers must be at least 1, not 0"),
        ({"stochastic_depth": 1.0}, "from 0 to below 1, not 1.0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        small(**options)
