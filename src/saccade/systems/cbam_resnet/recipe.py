"""The recipe of residual networks with convolutional block attention."""

from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from saccade.core.config import Parts, config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain.answers import classified, gates
from saccade.nets.backbones import Backbone, Residual, backbone
from saccade.nets.multiply_adds import costs
from saccade.tasks.images import ImagesConfig, ImagesTask
from saccade.tasks.images.objective import cross_entropy, ranked
from saccade.tasks.images.protocols import CIFAR10, DIGITS, IMAGENET, TINY, Protocol
from saccade.training.config import TrainingConfig
from saccade.vision import CBAM


@config
class CBAMResNetConfig:
    """A network with gates on channels, then on places."""

    network: Backbone = Residual()
    """Which one. The gates are on the branch of a residual block, on the channels that a dense layer adds and on
    transitions, or on the result of a mixed block."""
    reduction: Parts = 16
    """Channels to hidden units of the gate on channels, r; there is at least one unit."""
    kernel: Parts = 7
    """Rows and columns of the convolution of the gate on places, odd."""
    bias: bool = False
    """Biases in the two layers of the gate on channels; the released code has some."""
    norm: bool = False
    """A batch norm in the gate on places; the released code has one."""


@config
class Config:
    """Residual networks with convolutional block attention."""

    task: ImagesConfig = DIGITS.task
    model: CBAMResNetConfig = CBAMResNetConfig()
    training: TrainingConfig = TrainingConfig(**DIGITS.training)


def task(config: Config, assets: Path | None) -> ImagesTask:
    return ImagesTask(config.task, assets)


def build(config: Config, task: Any) -> nn.Module:
    model = config.model
    gate = partial(CBAM, reduction=model.reduction, kernel=model.kernel, bias=model.bias, norm=model.norm)
    return backbone(model.network, task.channels, len(task.classes), gate)


def pictures(answer: Answer) -> list[Picture]:
    task, image = answer.task, answer.task.pixels([answer.example])[0]
    found = classified(answer, image, task.ranking(answer.prediction))
    if isinstance(answer.config.model.network, Residual):
        found.insert(0, gates(answer, image, "stages.*.gate.spatial.gates"))
    return found


def measures(answer: Answer) -> dict[str, Figure]:
    return costs(answer.model, answer.task.collate([answer.example]).images)


def under(protocol: Protocol, depth: Any = 20) -> Config:
    model = CBAMResNetConfig(network=Residual(depth=depth))
    return Config(task=protocol.task, model=model, training=TrainingConfig(**protocol.training))


RECIPE = Recipe(
    paper=Paper(
        title="CBAM: Convolutional block attention module",
        authors="Woo, Park, Lee & Kweon",
        year=2018,
        arxiv="1807.06521",
        target="table 4: top-1 error on ImageNet",
        number="ResNet-50 with CBAM: 77.34 % accuracy, with SE: 76.86 %, without: 75.44 %",
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
