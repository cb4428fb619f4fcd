"""The recipe of residual networks without gates, the baseline of those with gates."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from saccade.core.config import config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain.answers import classified
from saccade.nets.backbones import Backbone, Residual, backbone
from saccade.nets.multiply_adds import costs
from saccade.tasks.images import ImagesConfig, ImagesTask
from saccade.tasks.images.objective import cross_entropy, ranked
from saccade.tasks.images.protocols import (
    BASE,
    CIFAR10,
    DIGITS,
    ELITE,
    IMAGENET,
    IMAGENET_ELITE,
    TINY,
    WIDTHS,
    Protocol,
)
from saccade.training.config import TrainingConfig


@config
class ResNetConfig:
    """A network without gates."""

    network: Backbone = Residual()
    """Which one."""


@config
class Config:
    """Residual networks."""

    task: ImagesConfig = DIGITS.task
    model: ResNetConfig = ResNetConfig()
    training: TrainingConfig = TrainingConfig(**DIGITS.training)


def task(config: Config, assets: Path | None) -> ImagesTask:
    return ImagesTask(config.task, assets)


def build(config: Config, task: Any) -> nn.Module:
    return backbone(config.model.network, task.channels, len(task.classes))


def pictures(answer: Answer) -> list[Picture]:
    task = answer.task
    return classified(answer, task.pixels([answer.example])[0], task.ranking(answer.prediction))


def measures(answer: Answer) -> dict[str, Figure]:
    return costs(answer.model, answer.task.collate([answer.example]).images)


def under(
    protocol: Protocol, depth: Any = 20, stochastic_depth: float = 0.0, share: float | None = None, width: float = 1.0
) -> Config:
    """The protocol with this share of its training images."""
    model = ResNetConfig(network=Residual(depth=depth, stochastic_depth=stochastic_depth, width=width))
    task = protocol.task if share is None else replace(protocol.task, share=share)
    return Config(task=task, model=model, training=TrainingConfig(**protocol.training))


RECIPE = Recipe(
    paper=Paper(
        title="Deep residual learning for image recognition",
        authors="He, Zhang, Ren & Sun",
        year=2016,
        arxiv="1512.03385",
        target="table 6: error on CIFAR-10",
        number="ResNet-20: 91.25 % accuracy, ResNet-56: 93.03 %, after 64,000 steps of 128 images",
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
        "base": under(BASE),
        "base-tenth": under(BASE, share=0.1),
        "elite": under(ELITE),
        "elite-tenth": under(ELITE, share=0.1),
        "width-half": under(WIDTHS, width=0.5),
        "width-one": under(WIDTHS),
        "width-double": under(WIDTHS, width=2.0),
        "imagenet": under(IMAGENET, 50),
        "imagenet-elite": under(IMAGENET_ELITE, 50, 0.1),
    },
)
