"""The recipe of Visformer: digits, CIFAR-10 or ImageNet, with the base and the elite setting."""

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
from saccade.nets.visformer import Visformer
from saccade.systems.visformer.model import VisformerConfig, network
from saccade.tasks.images import Cifar10, Folder, ImagesConfig, ImagesTask
from saccade.tasks.images.augmentation import Elite, Light
from saccade.tasks.images.objective import cross_entropy, ranked
from saccade.training.config import SGD, Adam, TrainingConfig

ELITE = Adam(weight_decay=0.05)
BASE = SGD(momentum=0.9, nesterov=False, weight_decay=1e-4)
EPOCH = 1_281_167  # training images of ImageNet


@config
class Config:
    """A Visformer."""

    task: ImagesConfig = ImagesConfig(augmentation=Light(padding=2), smoothing=0.1)
    model: VisformerConfig = VisformerConfig(stem_channels=8, stem_stride=1, patches=(2, 2, 1))
    training: TrainingConfig = TrainingConfig(
        steps=1000, batch_size=64, optimizer=ELITE, learning_rate=2e-3, schedule="cosine", warmup=100,
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
    return {"attention_entropy": entropy(last)}


def small_cifar10(setting: str, share: float) -> Config:
    """A small network on CIFAR-10 for about 4 minutes of one core, with this share of the training images."""
    elite = setting == "elite"
    return Config(
        task=ImagesConfig(
            source=Cifar10(path=Path("cifar10")), share=share, augmentation=Elite() if elite else Light(),
            smoothing=0.1 if elite else 0.0,
        ),
        model=VisformerConfig(stochastic_depth=0.1 if elite else 0.0),
        training=TrainingConfig(
            steps=SMALL_STEPS, batch_size=128, optimizer=ELITE if elite else BASE,
            learning_rate=2e-3 if elite else 0.05, schedule="cosine", warmup=50, clip=None if elite else 5.0, threads=1,
            validate_every=SMALL_STEPS // 2, checkpoint_every=SMALL_STEPS, log_every=25,
        ),
    )  # fmt: skip


def imagenet(model: VisformerConfig, batch_size: int) -> Config:
    """The elite setting: DeiT's, without repeated augmentation, as in the authors' commands."""
    return Config(
        task=ImagesConfig(source=Folder(path=Path("imagenet")), size=224, augmentation=Elite(), smoothing=0.1),
        model=model,
        training=TrainingConfig(
            steps=300 * EPOCH // batch_size, batch_size=batch_size, optimizer=ELITE,
            learning_rate=5e-4 * batch_size / 512, schedule="cosine", warmup=5 * EPOCH // batch_size, clip=None,
            precision="bfloat16", validate_every=5000, checkpoint_every=5000,
        ),
    )  # fmt: skip


def imagenet_base(model: VisformerConfig) -> Config:
    """The base setting: 90 epochs of SGD with crops and flips."""
    return Config(
        task=ImagesConfig(source=Folder(path=Path("imagenet")), size=224, augmentation=Light()),
        model=model,
        training=TrainingConfig(
            steps=90 * EPOCH // 256, batch_size=256, optimizer=BASE, learning_rate=0.1, schedule="cosine", clip=None,
            precision="bfloat16", validate_every=5000, checkpoint_every=5000,
        ),
    )  # fmt: skip


def published(stem_channels: int, model_size: int, heads: int, stochastic_depth: float) -> VisformerConfig:
    return VisformerConfig(
        stem_channels=stem_channels, stem_stride=2, patches=(4, 2, 2), model_size=model_size, layers=(7, 4, 4),
        heads=heads, groups=8, stochastic_depth=stochastic_depth,
    )  # fmt: skip


SMALL_STEPS = 500
TINY = Config(
    task=ImagesConfig(share=0.2, augmentation=Light(padding=2)),
    model=VisformerConfig(stem_channels=4, stem_stride=2, patches=(1, 2, 1), model_size=16, layers=(1, 1, 1), heads=2),
    training=TrainingConfig(
        steps=60, batch_size=32, optimizer=ELITE, learning_rate=5e-3, threads=1, validate_every=20,
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
        "elite": small_cifar10("elite", 1.0),
        "elite-tenth": small_cifar10("elite", 0.1),
        "base": small_cifar10("base", 1.0),
        "base-tenth": small_cifar10("base", 0.1),
        "ti": imagenet(published(16, 192, 3, 0.03), 1024),
        "s": imagenet(published(32, 384, 6, 0.1), 512),
        "s-base": imagenet_base(published(32, 384, 6, 0.0)),
    },
)
