"""The recipe of residual networks with local attention in the place of convolutions."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import nn

from saccade.core.config import Parts, config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain.answers import classified
from saccade.nets.backbones import Residual, residual
from saccade.nets.multiply_adds import costs
from saccade.tasks.images import ImagesConfig, ImagesTask
from saccade.tasks.images.objective import cross_entropy, ranked
from saccade.tasks.images.protocols import CIFAR10, DIGITS, IMAGENET, TINY, WIDTHS, Protocol
from saccade.training.config import TrainingConfig
from saccade.vision import AttentionStem, LocalAttention2d


@config
class LocalAttentionResNetConfig:
    """A residual network whose 3 x 3 convolutions are local attention."""

    network: Residual = Residual()
    """Its depth: 26, 38 or 50 in the paper."""
    stages: tuple[Parts, ...] = (2, 3)
    """Stages, from 1, whose 3 x 3 convolutions are replaced."""
    window: Parts = 7
    """Rows and columns of the window, odd."""
    heads: Parts = 8
    """Heads; each has at least two channels."""
    border: Literal["mask", "pad"] = "mask"
    """Whether keys outside the image take no part, or are zeros that do."""
    stem: Literal["convolution", "attention"] = "convolution"
    """The first layer: a convolution, or attention in blocks of 4 x 4 pixels."""


@config
class Config:
    """Residual networks with local attention."""

    task: ImagesConfig = DIGITS.task
    model: LocalAttentionResNetConfig = LocalAttentionResNetConfig()
    training: TrainingConfig = TrainingConfig(**DIGITS.training)


def task(config: Config, assets: Path | None) -> ImagesTask:
    return ImagesTask(config.task, assets)


def build(config: Config, task: Any) -> nn.Module:
    model = config.model
    attention = partial(LocalAttention2d, window=model.window, heads=model.heads, border=model.border)
    stem = partial(AttentionStem, heads=model.heads) if model.stem == "attention" else None
    spatial = dict.fromkeys(model.stages, attention)
    return residual(model.network, task.channels, len(task.classes), spatial=spatial, stem=stem)


def pictures(answer: Answer) -> list[Picture]:
    task = answer.task
    return classified(answer, task.pixels([answer.example])[0], task.ranking(answer.prediction))


def measures(answer: Answer) -> dict[str, Figure]:
    return costs(answer.model, answer.task.collate([answer.example]).images)


def under(
    protocol: Protocol,
    stages: Any = (2, 3),
    depth: Any = 20,
    *,
    stem: Any = "convolution",
    heads: int = 8,
    width: float = 1.0,
    **training: Any,
) -> Config:
    """The protocol with other settings of the training."""
    network = Residual(depth=depth, width=width)
    model = LocalAttentionResNetConfig(network=network, stages=stages, stem=stem, heads=heads)
    return Config(task=protocol.task, model=model, training=TrainingConfig(**{**protocol.training, **training}))


EVERY = (1, 2, 3, 4)

RECIPE = Recipe(
    paper=Paper(
        title="Stand-alone self-attention in vision models",
        authors="Ramachandran, Parmar, Vaswani, Bello, Levskaya & Shlens",
        year=2019,
        arxiv="1906.05909",
        target="table 1: top-1 accuracy on ImageNet, with the parameters of each network",
        number="ResNet-50: 77.6 % with attention alone (18.0 million parameters), 76.9 % with convolutions (25.6)",
    ),
    task=task,
    build=build,
    objective=cross_entropy,
    predict=ranked,
    pictures=pictures,
    measures=measures,
    variants={
        "default": under(DIGITS, (3,)),  # minutes; with two stages five times as many
        "tiny": under(TINY),
        # eight heads of 4 or 8 features take more than three times as long; unclipped, the loss is infinite at step 50
        "cifar10": under(CIFAR10, heads=2, clip=1.0),
        "width-half": under(WIDTHS, (3,), heads=2, width=0.5),
        "width-one": under(WIDTHS, (3,), heads=2),
        "width-double": under(WIDTHS, (3,), heads=2, width=2.0),
        "imagenet": under(IMAGENET, EVERY, 50),
        "imagenet-26": under(IMAGENET, EVERY, 26),
        "imagenet-38": under(IMAGENET, EVERY, 38),
        "imagenet-attention": under(IMAGENET, EVERY, 50, stem="attention"),
        "imagenet-26-attention": under(IMAGENET, EVERY, 26, stem="attention"),
        "imagenet-38-attention": under(IMAGENET, EVERY, 38, stem="attention"),
    },
)
