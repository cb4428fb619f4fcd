"""The recipe of the class's convolutional net: digits or CIFAR-10, with attention and without."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.core.config import config
from saccade.core.device import evaluating, to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain.answers import classified, entropy
from saccade.explain.capture import capture
from saccade.systems.attention_cnn.model import AttentionCNN, AttentionCNNConfig, SelfAttention, Without
from saccade.systems.attention_cnn.pictures import overlay
from saccade.tasks.images import Cifar10, ImagesConfig, ImagesTask
from saccade.tasks.images.augmentation import Shifted
from saccade.tasks.images.objective import cross_entropy, ranked
from saccade.training.config import TrainingConfig

LAYER = "features.7"
"""The last rectified convolution, over which Grad-CAM is made."""
FEWER = 38
"""Filters of the last convolution with which the net without attention has as many weights as that with one head."""


@config
class Config:
    """A convolutional net with attention over its places."""

    task: ImagesConfig = ImagesConfig(size=32, augmentation=Shifted())
    model: AttentionCNNConfig = AttentionCNNConfig()
    training: TrainingConfig = TrainingConfig(
        steps=1500, batch_size=64, schedule="cosine", warmup=100, validate_every=250, checkpoint_every=500,
        keep="best",
    )  # fmt: skip


def task(config: Config, assets: Path | None) -> ImagesTask:
    return ImagesTask(config.task, assets)


def build(config: Config, task: Any) -> AttentionCNN:
    return AttentionCNN(config.model, task.channels, task.side, len(task.classes))


def watched(answer: Answer) -> Float[Tensor, "h q k"]:
    """The attention between all places of an image."""
    images = to_device(answer.task.collate([answer.example]), answer.device).images
    with torch.no_grad(), evaluating(answer.model), capture(answer.model, "attention.weights") as seen:
        answer.model(images)
    return seen["attention.weights"][0][0].float().cpu()


def pictures(answer: Answer) -> list[Picture]:
    model: Any = answer.model
    image = answer.task.pixels([answer.example])[0]
    found = classified(answer, image, answer.task.ranking(answer.prediction), layer=LAYER if model.side > 1 else None)
    if model.attention is not None:
        found.insert(
            0,
            overlay(
                image,
                watched(answer),
                model.side,
                f"answer {answer.task.ranking(answer.prediction)[0][1]}: attention from",
            ),
        )
    return found


def measures(answer: Answer) -> dict[str, Figure]:
    if isinstance(answer.config.model.attention, Without):
        return {}
    return {"attention_entropy": entropy(watched(answer))}


def cifar10(model: AttentionCNNConfig) -> Config:
    """The data of the class; about half an hour of one core that computes in bfloat16."""
    return Config(
        task=ImagesConfig(source=Cifar10(path=Path("cifar10")), augmentation=Shifted()),
        model=model,
        training=TrainingConfig(
            steps=60_000, batch_size=64, schedule="cosine", warmup=500, precision="bfloat16", threads=1,
            validate_every=2000, checkpoint_every=2000, log_every=100,
        ),
    )  # fmt: skip


ONE_HEAD = AttentionCNNConfig()
TINY = Config(
    task=ImagesConfig(augmentation=Shifted(), share=0.3),
    model=AttentionCNNConfig(
        filters=(8, 16, 24), attention=SelfAttention(heads=2, head_size=8, value_size=8, output_size=8), hidden_size=32
    ),
    training=TrainingConfig(
        steps=100, batch_size=32, learning_rate=1e-2, threads=1, validate_every=25, checkpoint_every=25, log_every=5,
    ),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Attention in deep learning, Colab notebook: a convolutional net with and without attention",
        authors="VanRullen",
        year=2022,
        address="https://github.com/rufinv/DL-Attention-Class",
        target="README: accuracy on CIFAR-10",
        number="convolution 83 % (2.5 M weights), one head 83 % (0.5 M), a smaller convolution about 80 % (0.5 M), "
        "several heads about 83.5 % (below 0.6 M)",
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
        "convolution": cifar10(replace(ONE_HEAD, attention=Without())),
        "one-head": cifar10(ONE_HEAD),
        "small-convolution": cifar10(replace(ONE_HEAD, attention=Without(), filters=(32, 64, FEWER))),
        "heads": cifar10(replace(ONE_HEAD, attention=SelfAttention(heads=3))),
    },
    claims=(
        Claim(
            metric="accuracy", direction="max", variant="one-head", bound=78.0,
            why="the class reports 83 % for one head; here with lossy copies of the images and fewer epochs",
        ),
        Claim(
            metric="accuracy", direction="max", variant="one-head", against="small-convolution",
            why="of two nets with half a million weights, the one with attention is better; the class has 83 against "
            "about 80 %",
        ),
    ),
)  # fmt: skip
