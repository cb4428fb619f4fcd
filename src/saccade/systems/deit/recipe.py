"""The recipe of DeiT: digits, CIFAR-10 or ImageNet, with a teacher or without."""

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
from saccade.nets.deit import DeiT
from saccade.nets.multiply_adds import costs
from saccade.systems.deit.model import DeiTConfig, Hard, Soft, network
from saccade.systems.deit.objective import objective
from saccade.tasks.images import ImagesConfig, ImagesTask
from saccade.tasks.images.augmentation import Light
from saccade.tasks.images.objective import ranked
from saccade.tasks.images.protocols import BASE, ELITE, IMAGENET, IMAGENET_ELITE, Protocol
from saccade.training.config import Adam, TrainingConfig

ADAM = Adam(weight_decay=0.05)
DIGITS = ImagesConfig(augmentation=Light(padding=2), smoothing=0.1)


@config
class Config:
    """DeiT."""

    task: ImagesConfig = DIGITS
    model: DeiTConfig = DeiTConfig()
    training: TrainingConfig = TrainingConfig(
        steps=2000, batch_size=64, optimizer=ADAM, learning_rate=1e-3, schedule="cosine", warmup=200,
        validate_every=250, checkpoint_every=500, keep="best",
    )  # fmt: skip


def task(config: Config, assets: Path | None) -> ImagesTask:
    return ImagesTask(config.task, assets)


def build(config: Config, task: Any) -> DeiT:
    return network(config.model, task)


def watched(answer: Answer) -> list[Float[Tensor, "h q k"]]:
    """The attention of each block between all tokens."""
    images = to_device(answer.task.collate([answer.example]), answer.device).images
    with torch.no_grad(), evaluating(answer.model), capture(answer.model, "blocks.*.attention.weights") as seen:
        answer.model(images)
    return [weights[0].float().cpu() for (weights,) in seen.values()]


def pictures(answer: Answer) -> list[Picture]:
    """What the class token attends to in each block, and the distillation token in the last; what it answers, and
    Grad-CAM."""
    model: Any = answer.model
    layers, image = watched(answer), answer.task.pixels([answer.example])[0]
    maps = {f"block {number + 1}": weights[:, 0] for number, weights in enumerate(layers)}
    if model.distillation_token is not None:
        maps["teacher's token"] = layers[-1][:, 1]
    grids = torch.stack([rows[:, model.before :].mean(0).view(model.side, model.side) for rows in maps.values()])
    ranking = answer.task.ranking(answer.prediction)
    title = f"answer {ranking[0][1]}"
    overlay = ImageOverlay("attention", image, grids, list(maps), "attention weight", title)
    return [overlay, *classified(answer, image, ranking)]


def measures(answer: Answer) -> dict[str, Figure]:
    found = costs(answer.model, answer.task.collate([answer.example]).images)
    own = sum(weight.numel() for name, weight in answer.model.named_parameters() if not name.startswith("teacher."))
    found["parameters"] = found["parameters"]._replace(value=own / 1e6)
    return {"attention_entropy": entropy(torch.stack(watched(answer))), **found}


def under(protocol: Protocol, model: DeiTConfig, share: float = 1.0, **training: Any) -> Config:
    """The protocol with other settings of the training, and with this share of its training images."""
    task = replace(protocol.task, share=share)
    return Config(task=task, model=model, training=TrainingConfig(**{**protocol.training, **training}))


def published(model_size: int, heads: int, **options: Any) -> DeiTConfig:
    """The sizes of table 1."""
    return DeiTConfig(patch_size=16, model_size=model_size, layers=12, heads=heads, **options)


def published_elite(model_size: int, heads: int, **options: Any) -> Config:
    """The sizes of table 1 with the settings of table 9."""
    return under(IMAGENET_ELITE, published(model_size, heads, stochastic_depth=0.1, **options))


REGULARISED = DeiTConfig(stochastic_depth=0.1)
FOUR_MINUTES: dict[str, Any] = {"steps": 800, "warmup": 80, "learning_rate": 1e-3, "precision": "float32"}
"""In bfloat16 products this small take longer on a CPU."""
TINY = Config(
    task=ImagesConfig(share=0.2, augmentation=Light(padding=2)),
    model=DeiTConfig(patch_size=7, model_size=16, layers=2, heads=2),
    training=TrainingConfig(
        steps=60, batch_size=32, optimizer=ADAM, learning_rate=5e-3, threads=1, validate_every=20,
        checkpoint_every=20, log_every=5,
    ),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Training data-efficient image transformers & distillation through attention",
        authors="Touvron, Cord, Douze, Massa, Sablayrolles & Jégou",
        year=2021,
        arxiv="2012.12877",
        target="table 5: accuracy on ImageNet; the settings compared by Chen et al. 2021, arXiv:2104.12533",
        number="Ti 72.2 %, S 79.8 %, B 81.8 %; distilled 74.5, 81.2 and 83.4 %; S with 22.05 M weights and 4.6 G "
        "multiply-adds, 63.12 % in the base setting",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=ranked,
    pictures=pictures,
    measures=measures,
    variants={
        "default": Config(),
        "tiny": TINY,
        "hard": Config(model=DeiTConfig(distillation=Hard())),
        "soft": Config(model=DeiTConfig(distillation=Soft())),
        "elite": under(ELITE, REGULARISED, **FOUR_MINUTES),
        "elite-tenth": under(ELITE, REGULARISED, 0.1, **FOUR_MINUTES),
        "base": under(BASE, DeiTConfig(), steps=800, precision="float32"),
        "ti": published_elite(192, 3),
        "s": published_elite(384, 6),
        "b": published_elite(768, 12),
        "s-distilled": published_elite(384, 6, distillation=Hard()),
        "s-base": under(IMAGENET, published(384, 6)),
    },
)
