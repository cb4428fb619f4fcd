"""What the systems of one family share: their protocol, their costs, their pictures."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from saccade.core.config import from_plain, to_plain
from saccade.core.recipe import Answer, Recipe
from saccade.nets.multiply_adds import multiply_adds
from saccade.tasks.images.protocols import CIFAR10, DIGITS, IMAGENET, TINY
from saccade.training.config import TrainingConfig


class Task:
    """The sizes of a task."""

    def __init__(self, channels: int, classes: int) -> None:
        self.channels, self.classes = channels, tuple(map(str, range(classes)))


def check_protocols(recipe: Recipe, other: Mapping[str, Mapping[str, Any]] = {}) -> None:
    """The data, schedule and seed of a variant are those of the whole family, but for these settings."""
    for name, protocol in {"default": DIGITS, "tiny": TINY, "cifar10": CIFAR10, "imagenet": IMAGENET}.items():
        config = recipe.variants[name]
        assert config.task == protocol.task, name
        assert config.training == TrainingConfig(**{**protocol.training, **other.get(name, {})}), name
        assert config.model.network.depth == (50 if name == "imagenet" else 20)


def sized(recipe: Recipe, variant: str, channels: int = 3, **model: Any) -> nn.Module:
    """The network of a variant without its numbers, with other options of the model."""
    config = recipe.variants[variant]
    plain = to_plain(config)
    changed = from_plain(type(config), {**plain, "model": {**plain["model"], **model}})
    with torch.device("meta"):
        return recipe.build(changed, Task(channels, 1000 if variant.startswith("imagenet") else 10))


def check_costs(recipe: Recipe, costs: dict[str, tuple[int, int]]) -> None:
    """The parameters of variants, and multiply-adds in millions, as their README prints them."""
    for variant, (parameters, millions) in costs.items():
        network = sized(recipe, variant)
        side = 32 if variant == "cifar10" else 299 if variant.endswith("inception") else 224
        assert sum(weight.numel() for weight in network.parameters()) == parameters, variant
        assert round(multiply_adds(network, torch.empty(1, 3, side, side)) / 1e6) == millions, variant


def answered(recipe: Recipe) -> Answer:
    """The answer of an untrained network to a test image."""
    torch.manual_seed(1)
    config = recipe.variants["tiny"]
    task: Any = recipe.task(config, None)
    model = recipe.build(config, task).eval()
    example = task.examples("test")[0]
    [prediction] = recipe.predict(model, task.collate([example]), config)
    return Answer(model, task, config, example, prediction, torch.device("cpu"))


def pictures_of(answer: Answer, recipe: Recipe) -> dict[str, Any]:
    assert recipe.pictures is not None
    found = {picture.name: picture for picture in recipe.pictures(answer)}
    assert found["grad-cam"].maps.shape == (3, 3, 3)
    return found
