"""The recipe of squeeze-and-excitation networks."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from saccade.core.config import Parts, config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain.answers import classified
from saccade.nets.backbones import Backbone, Dense, InceptionV3, Residual, backbone
from saccade.nets.multiply_adds import costs
from saccade.tasks.images import ImagesConfig, ImagesTask
from saccade.tasks.images.objective import cross_entropy, ranked
from saccade.tasks.images.protocols import CIFAR10, DIGITS, IMAGENET, TINY, Protocol
from saccade.training.config import TrainingConfig
from saccade.vision import SqueezeExcite


@config
class SEResNetConfig:
    """A network with a gate on channels."""

    network: Backbone = Residual()
    """Which one. The gate is on the branch of a residual block, on the channels that a dense layer adds and on
    transitions, or on the result of a mixed block."""
    reduction: Parts = 16
    """Channels to hidden units of the gate, r; there is at least one unit."""
    bias: bool = False
    """Biases in the gate's two layers; equation 3 has none."""


@config
class Config:
    """Squeeze-and-excitation networks."""

    task: ImagesConfig = DIGITS.task
    model: SEResNetConfig = SEResNetConfig()
    training: TrainingConfig = TrainingConfig(**DIGITS.training)


def task(config: Config, assets: Path | None) -> ImagesTask:
    return ImagesTask(config.task, assets)


def build(config: Config, task: Any) -> nn.Module:
    gate = partial(SqueezeExcite, reduction=config.model.reduction, bias=config.model.bias)
    return backbone(config.model.network, task.channels, len(task.classes), gate)


def pictures(answer: Answer) -> list[Picture]:
    task = answer.task
    return classified(answer, task.pixels([answer.example])[0], task.ranking(answer.prediction))


def measures(answer: Answer) -> dict[str, Figure]:
    return costs(answer.model, answer.task.collate([answer.example]).images)


RESNET20 = Residual()


def under(protocol: Protocol, network: Any = RESNET20) -> Config:
    model = SEResNetConfig(network=network)
    return Config(task=protocol.task, model=model, training=TrainingConfig(**protocol.training))


RECIPE = Recipe(
    paper=Paper(
        title="Squeeze-and-excitation networks",
        authors="Hu, Shen & Sun",
        year=2018,
        arxiv="1709.01507",
        target="table 2: top-1 error on ImageNet",
        number="SE-ResNet-50: 76.71 % accuracy, ResNet-50: 75.20 %",
    ),
    task=task,
    build=build,
    objective=cross_entropy,
    predict=ranked,
    pictures=pictures,
    measures=measures,
    variants={
        "default": under(DIGITS),
        "tiny": under(TINY),
        "cifar10": under(CIFAR10),
        "imagenet": under(IMAGENET, Residual(depth=50)),
        "imagenet-densenet": under(IMAGENET, Dense()),
        "imagenet-inception": under(IMAGENET._replace(task=replace(IMAGENET.task, size=299)), InceptionV3()),
    },
)
