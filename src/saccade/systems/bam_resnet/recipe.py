"""The recipe of residual networks with bottleneck attention."""

from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from saccade.core.config import Parts, config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain.answers import classified, gates
from saccade.nets.backbones import Residual, residual
from saccade.nets.multiply_adds import costs
from saccade.tasks.images import ImagesConfig, ImagesTask
from saccade.tasks.images.objective import cross_entropy, ranked
from saccade.tasks.images.protocols import CIFAR10, DIGITS, IMAGENET, TINY, Protocol
from saccade.training.config import TrainingConfig
from saccade.vision import BottleneckAttention
from saccade.vision.bottleneck_attention import Combine


@config
class BAMResNetConfig:
    """A residual network with gates on channels and places between its stages."""

    network: Residual = Residual()
    """Which one."""
    reduction: Parts = 16
    """Channels to hidden channels of the gates, r; there is at least one."""
    dilation: Parts = 4
    """Dilation of the gates' 3 x 3 convolutions, d."""
    combine: Combine = "sum"
    """Of the two scores: their sum, as in the paper, or their product, as in its released code."""


@config
class Config:
    """Residual networks with bottleneck attention."""

    task: ImagesConfig = DIGITS.task
    model: BAMResNetConfig = BAMResNetConfig()
    training: TrainingConfig = TrainingConfig(**DIGITS.training)


def task(config: Config, assets: Path | None) -> ImagesTask:
    return ImagesTask(config.task, assets)


def build(config: Config, task: Any) -> nn.Module:
    model = config.model
    gate = partial(BottleneckAttention, reduction=model.reduction, dilation=model.dilation, combine=model.combine)
    return residual(model.network, task.channels, len(task.classes), between=gate)


def pictures(answer: Answer) -> list[Picture]:
    task, image = answer.task, answer.task.pixels([answer.example])[0]
    return [
        gates(answer, image, "stages.between?.gates"), *classified(answer, image, task.ranking(answer.prediction)),
    ]  # fmt: skip


def measures(answer: Answer) -> dict[str, Figure]:
    return costs(answer.model, answer.task.collate([answer.example]).images)


def under(protocol: Protocol, depth: Any = 20) -> Config:
    model = BAMResNetConfig(network=Residual(depth=depth))
    return Config(task=protocol.task, model=model, training=TrainingConfig(**protocol.training))


RECIPE = Recipe(
    paper=Paper(
        title="BAM: Bottleneck attention module",
        authors="Park, Woo, Lee & Kweon",
        year=2018,
        arxiv="1807.06514",
        target="its table of ImageNet: top-1 error",
        number="ResNet-50 with BAM: 75.98 % accuracy, without: 75.44 %",
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
        "imagenet": under(IMAGENET, 50),
    },
)
