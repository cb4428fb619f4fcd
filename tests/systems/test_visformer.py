import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from saccade.core.recipe import Answer
from saccade.nets.multiply_adds import multiply_adds
from saccade.runs import catalogue
from saccade.systems.visformer.model import network

RECIPE: Any = catalogue.recipe("visformer")
TINY: Any = RECIPE.variants["tiny"]


class ImageNet:
    """What a network is told of a task."""

    classes, side, channels = ("class",) * 1000, 224, 3


@pytest.mark.parametrize(
    ("variant", "parameters", "billions"),
    [("ti", 10_321_368, 1.27), ("s", 40_219_592, 4.88), ("s-base", 40_219_592, 4.88)],
)
def test_the_published_variants_have_the_published_sizes(variant: str, parameters: int, billions: float) -> None:
    with torch.device("meta"):
        model = network(RECIPE.variants[variant].model, ImageNet)
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    assert round(multiply_adds(model, torch.empty(1, 3, 224, 224)) / 1e9, 2) == billions


def test_its_pictures_show_what_each_block_attends_to() -> None:
    task = RECIPE.task(TINY, None)
    config = replace(TINY.model, layers=(1, 2, 1), patches=(1, 2, 7))
    torch.manual_seed(1)
    model = network(config, task).eval()
    example = task.examples("test")[0]
    [prediction] = RECIPE.predict(model, task.collate([example]), TINY)
    answer = Answer(model, task, TINY, example, prediction, torch.device("cpu"))
    attention, heat, classes = RECIPE.pictures(answer)
    assert list(attention.labels) == ["stage 2, block 1", "stage 2, block 2", "stage 3, block 1"]
    assert attention.maps.shape == (3, 7, 7)
    assert attention.maps[:2].sum((1, 2)) == pytest.approx([1, 1], rel=1e-5)
    assert attention.maps[2] == pytest.approx(1)  # of one pixel
    assert (heat.name, classes.name) == ("grad-cam", "classes")
    assert RECIPE.measures(answer)["attention_entropy"].value == pytest.approx(0)
    assert (
        0 < RECIPE.measures(answer._replace(model=network(TINY.model, task)))["attention_entropy"].value < math.log(50)
    )
