"""The class's convolutional net: its equations as slow loops, its numbers of weights, pictures, and variants."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Answer
from saccade.explain import ablate, capture
from saccade.explain.pictures.histogram import Histogram
from saccade.explain.pictures.image_overlay import ImageOverlay
from saccade.runs import catalogue
from saccade.systems.attention_cnn.model import AttentionCNN, AttentionCNNConfig, SelfAttention, Without
from saccade.systems.attention_cnn.pictures import overlay, quarter

RECIPE: Any = catalogue.recipe("attention_cnn")
CIFAR = ("convolution", "one-head", "small-convolution", "heads")
SMALL = AttentionCNNConfig(
    filters=(2, 3, 5), attention=SelfAttention(heads=2, head_size=3, value_size=7, output_size=4), hidden_size=11
)


def convolved(maps: Tensor, layer: Any, padding: int) -> Tensor:
    """One output after the other."""
    weight, bias = layer.weight, layer.bias
    outputs, channels, high, wide = weight.shape
    rows, columns = maps.shape[1] + 2 * padding - high + 1, maps.shape[2] + 2 * padding - wide + 1
    found = []
    for o in range(outputs):
        for y in range(rows):
            for x in range(columns):
                total = bias[o]
                for i in range(high):
                    for j in range(wide):
                        row, column = y + i - padding, x + j - padding
                        if 0 <= row < maps.shape[1] and 0 <= column < maps.shape[2]:
                            for c in range(channels):
                                total = total + weight[o, c, i, j] * maps[c, row, column]
                found.append(total.relu())
    return torch.stack(found).view(outputs, rows, columns)


def pooled(maps: Tensor) -> Tensor:
    rows, columns = maps.shape[1] // 2, maps.shape[2] // 2
    found = [
        torch.stack([maps[c, 2 * y + i, 2 * x + j] for i in range(2) for j in range(2)]).amax()
        for c in range(len(maps)) for y in range(rows) for x in range(columns)
    ]  # fmt: skip
    return torch.stack(found).view(len(maps), rows, columns)


def attended(places: Tensor, attention: Any, heads: int) -> Tensor:
    """One place and head after the other."""
    query, keys, values = (
        (places @ layer.weight.T + layer.bias).relu() for layer in (attention.query, attention.key, attention.value)
    )
    d, v = query.shape[1] // heads, values.shape[1] // heads
    found = []
    for p in range(len(places)):
        for h in range(heads):
            head = slice(h * d, (h + 1) * d)
            scores = [(query[p, head] * keys[k, head]).sum() / math.sqrt(d) for k in range(len(places))]
            total = sum(score.exp() for score in scores)
            features = range(h * v, (h + 1) * v)
            found += [sum(s.exp() / total * values[k, own] for k, s in enumerate(scores)) for own in features]
    read = torch.stack(found).view(len(places), heads * v)  # type: ignore[arg-type]
    return torch.stack([(attention.output.weight @ place + attention.output.bias).relu() for place in read])


@pytest.mark.parametrize("attention", [SMALL.attention, Without()], ids=["attention", "none"])
def test_the_equations_as_slow_loops(attention: Any) -> None:
    model = AttentionCNN(replace(SMALL, attention=attention), 2, 13, 3).double()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    images = torch.randn(2, 2, 13, 13, dtype=torch.float64)
    expected = []
    for image in images:
        maps = pooled(convolved(image, model.features[0], 1))
        maps = convolved(pooled(convolved(maps, model.features[3], 1)), model.features[6], 0)
        places = torch.stack([maps[:, y, x] for y in range(maps.shape[1]) for x in range(maps.shape[2])])
        if model.attention is not None:
            places = attended(places, model.attention, 2)
        _, first, _, _, second = model.classifier
        hidden = (first.weight @ places.flatten() + first.bias).relu()
        expected.append(second.weight @ hidden + second.bias)
    found, slow = model(images), torch.stack(expected)
    torch.testing.assert_close(found, slow)
    towards = torch.randn(2, 3, dtype=torch.float64)
    weights = list(model.parameters())
    for ours, theirs in zip(
        *(torch.autograd.grad((one * towards).sum(), weights) for one in (found, slow)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("variant", "weights"),
    [("convolution", 2_480_010), ("one-head", 512_106), ("small-convolution", 508_656), ("heads", 590_314)],
)
def test_the_numbers_of_weights_are_the_classs(variant: str, weights: int) -> None:
    model = AttentionCNN(RECIPE.variants[variant].model, 3, 32, 10)
    assert sum(weight.numel() for weight in model.parameters()) == weights
    assert model.side**2 == 49
    text = (catalogue.SYSTEMS / "attention_cnn" / "README.md").read_text(encoding="utf-8")
    assert f"{weights:,}" in text


def test_the_variants_differ_in_the_model_only() -> None:
    configs = [RECIPE.variants[name] for name in CIFAR]
    assert len({replace(config, model=AttentionCNNConfig()) for config in configs}) == 1
    assert len({config.model for config in configs}) == len(CIFAR)
    assert str(configs[0].task.source.path) == "cifar10"


def test_attention_is_tapped_and_can_be_changed() -> None:
    model, images = AttentionCNN(SMALL, 1, 17, 4).eval(), torch.rand(3, 1, 17, 17)
    before = model(images)
    with capture(model) as seen:
        after = model(images)
    assert torch.equal(before, after)
    [weights] = seen["attention.weights"]
    assert weights.shape == (3, 2, 9, 9)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 9))
    with capture(model, replace=ablate(0)):
        assert not torch.allclose(model(images), before)


@pytest.mark.parametrize("size", [8, 9, 28, 33, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_from_eight_pixels(size: int, channels: int) -> None:
    model = AttentionCNN(SMALL, channels, size, 5)
    assert model(torch.rand(2, channels, size, size)).shape == (2, 5)


@pytest.mark.unhooked
def test_images_of_other_shapes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 8 x 8 pixels, not 7 x 7"):
        AttentionCNN(SMALL, 3, 7, 10)
    for shape in ((2, 1, 9, 9), (2, 3, 9, 10), (3, 9, 9)):
        with pytest.raises(InvalidInput, match=r"images must be \(batch, 3, 9, 9\), not \("):
            AttentionCNN(SMALL, 3, 9, 10)(torch.rand(shape))


def test_the_pictures_of_an_answer() -> None:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    model = RECIPE.build(config, task).eval()
    example = task.examples("test")[3]
    with torch.inference_mode():
        [prediction] = RECIPE.predict(model, task.collate([example]), config)
        answer = Answer(model, task, config, example, prediction, torch.device("cpu"))
        attention, heat, classes = RECIPE.pictures(answer)
        figures = RECIPE.measures(answer)
    assert isinstance(attention, ImageOverlay)
    assert attention.maps.shape == (8, 6, 6)  # all, two heads, five places
    torch.testing.assert_close(torch.as_tensor(attention.maps).sum((1, 2)), torch.ones(8, dtype=torch.float64))
    assert isinstance(heat, ImageOverlay)
    assert len(heat.labels) == 3
    assert heat.labels[0].startswith(f"{prediction.labels[0]} (")
    assert isinstance(classes, Histogram)
    assert 0 < figures["attention_entropy"].value <= math.log(36) + 1e-4
    without = replace(config, model=replace(config.model, attention=Without()))
    answer = answer._replace(model=RECIPE.build(without, task).eval(), config=without)
    assert [picture.name for picture in RECIPE.pictures(answer)] == ["grad-cam", "classes"]
    assert RECIPE.measures(answer) == {}


def test_a_single_place_has_pictures_too() -> None:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(replace(config, task=replace(config.task, size=8)), None)
    model = RECIPE.build(config, task).eval()
    example = task.examples("test")[0]
    with torch.inference_mode():
        [prediction] = RECIPE.predict(model, task.collate([example]), config)
        found = RECIPE.pictures(Answer(model, task, config, example, prediction, torch.device("cpu")))
    assert [picture.name for picture in found] == ["attention", "grad-cam", "classes"]


def test_the_places_of_the_attention_picture() -> None:
    assert [quarter(count, 7) for count in (1, 2, 3)] == [1, 3, 5]
    assert [quarter(count, 1) for count in (1, 2, 3)] == [0, 0, 0]
    weights = torch.eye(49)[None]  # every place attends to itself
    found = overlay(torch.rand(3, 32, 32), weights, 7, "")
    for label, rows in zip(found.labels[1:], ((1, 1), (1, 5), (3, 3), (5, 1), (5, 5)), strict=True):
        place = torch.as_tensor(found.maps[list(found.labels).index(label)]).argmax()
        assert (int(place) // 7, int(place) % 7) == rows
