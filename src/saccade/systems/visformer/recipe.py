"""The recipe of Visformer: digits, CIFAR-10 or ImageNet, with the base and the elite setting."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.core.config import config
from saccade.core.device import evaluating, to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain.answers import classified, entropy
from saccade.explain.capture import capture
from saccade.explain.pictures.image_overlay import ImageOverlay
from saccade.nets.multiply_adds import costs
from saccade.nets.visformer import Visformer
from saccade.systems.visformer.model import VisformerConfig, network
from saccade.tasks.images import ImagesConfig, ImagesTask
from saccade.tasks.images.augmentation import Light
from saccade.tasks.images.objective import cross_entropy, ranked
from saccade.tasks.images.protocols import BASE, ELITE, EPOCH, IMAGENET, IMAGENET_ELITE, Protocol
from saccade.training.config import Adam, TrainingConfig

ADAM = Adam(weight_decay=0.05)


@config
class Config:
    """A Visformer."""

    task: ImagesConfig = ImagesConfig(augmentation=Light(padding=2), smoothing=0.1)
    model: VisformerConfig = VisformerConfig(stem_channels=8, stem_stride=1, patches=(2, 2, 1))
    training: TrainingConfig = TrainingConfig(
        steps=1000, batch_size=64, optimizer=ADAM, learning_rate=2e-3, schedule="cosine", warmup=100,
        validate_every=250, checkpoint_every=500, keep="best",
    )  # fmt: skip


def task(config: Config, assets: Path | None) -> ImagesTask:
    return ImagesTask(config.task, assets)


def build(config: Config, task: Any) -> Visformer:
    return network(config.model, task)


def watched(answer: Answer) -> dict[str, Float[Tensor, "h q k"]]:
    """The attention of each block between all pixels of its maps."""
    images = to_device(answer.task.collate([answer.example]), answer.device).images
    with torch.no_grad(), evaluating(answer.model), capture(answer.model, "*.attention.weights") as seen:
        answer.model(images)
    return {name: weights[0].float().cpu() for name, (weights,) in seen.items()}


def pictures(answer: Answer) -> list[Picture]:
    """What the pixels attend to on average in each block; what it answers, and Grad-CAM."""
    image, maps = answer.task.pixels([answer.example])[0], {}
    for name, weights in watched(answer).items():
        side = round(weights.shape[-1] ** 0.5)
        stage, block, *_ = name.removeprefix("stage").split(".")
        maps[f"stage {stage}, block {int(block) + 1}"] = weights.mean((0, 1)).view(1, 1, side, side)
    finest = max(one.shape[-1] for one in maps.values())
    grids = [torch.nn.functional.interpolate(one, (finest, finest))[0, 0] for one in maps.values()]
    ranking = answer.task.ranking(answer.prediction)
    title = f"answer {ranking[0][1]}"
    overlay = ImageOverlay("attention", image, torch.stack(grids), list(maps), "attention weight", title)
    return [overlay, *classified(answer, image, ranking)]


def measures(answer: Answer) -> dict[str, Figure]:
    *_, last = watched(answer).values()
    image = answer.task.collate([answer.example]).images
    return {"attention_entropy": entropy(last), **costs(answer.model, image)}


def under(protocol: Protocol, model: VisformerConfig, share: float = 1.0, **training: Any) -> Config:
    """The protocol with other settings of the training, and with this share of its training images."""
    task = replace(protocol.task, share=share)
    return Config(task=task, model=model, training=TrainingConfig(**{**protocol.training, **training}))


def published(stem_channels: int, model_size: int, heads: int, stochastic_depth: float) -> VisformerConfig:
    return VisformerConfig(
        stem_channels=stem_channels, stem_stride=2, patches=(4, 2, 2), model_size=model_size, layers=(7, 4, 4),
        heads=heads, groups=8, stochastic_depth=stochastic_depth,
    )  # fmt: skip


REGULARISED = VisformerConfig(stochastic_depth=0.1)
FOUR_MINUTES: dict[str, Any] = {"steps": 640, "warmup": 64}
HALF: dict[str, Any] = {
    "batch_size": 512,
    "learning_rate": 5e-4,
    "steps": 300 * EPOCH // 512,
    "warmup": 5 * EPOCH // 512,
}
TINY = Config(
    task=ImagesConfig(share=0.2, augmentation=Light(padding=2)),
    model=VisformerConfig(stem_channels=4, stem_stride=2, patches=(1, 2, 1), model_size=16, layers=(1, 1, 1), heads=2),
    training=TrainingConfig(
        steps=60, batch_size=32, optimizer=ADAM, learning_rate=5e-3, threads=1, validate_every=20,
        checkpoint_every=20, log_every=5,
    ),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Visformer: the vision-friendly Transformer",
        authors="Chen, Xie, Niu, Liu, Wei & Tian",
        year=2021,
        arxiv="2104.12533",
        target="accuracy on ImageNet in the base and in the elite setting",
        number="Visformer-S 77.20 % base, 82.19 % elite, 40.2 M weights, 4.9 G multiply-adds; DeiT-S 63.12 % base, "
        "80.07 % elite; ResNet-50 77.43 and 78.73 %",
    ),
    task=task,
    build=build,
    objective=cross_entropy,
    predict=ranked,
    pictures=pictures,
    measures=measures,
    variants={
        "default": Config(),
        "tiny": TINY,
        "elite": under(ELITE, REGULARISED, **FOUR_MINUTES),
        "elite-tenth": under(ELITE, REGULARISED, 0.1, **FOUR_MINUTES),
        "base": under(BASE, VisformerConfig(), steps=900),
        "base-tenth": under(BASE, VisformerConfig(), 0.1, steps=900),
        "ti": under(IMAGENET_ELITE, published(16, 192, 3, 0.03)),
        "s": under(IMAGENET_ELITE, published(32, 384, 6, 0.1), **HALF),
        "s-base": under(IMAGENET, published(32, 384, 6, 0.0)),
    },
)
