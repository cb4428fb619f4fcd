"""The recipe of the handwriting networks: what they are trained on, how, and what they must reach."""

from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from saccade.core.config import Seed, config
from saccade.core.recipe import Claim, Paper, Recipe, Show
from saccade.systems.handwriting.model import Handwriting, HandwritingConfig
from saccade.systems.handwriting.writing import write
from saccade.tasks.pen import Batch, PenConfig, PenTask, Written
from saccade.training.config import TrainingConfig


@config
class Sampling:
    """How a text is written."""

    seed: Seed = 1
    """Seed of the draws; with another one the same text is written differently."""
    most: Annotated[int, Field(ge=1, le=1000)] = 25
    """Steps a character of a text that has not come to its end by then."""


@config
class Config:
    """Handwriting."""

    bias: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Towards what is likelier: 0 writes as the net was taught, 1 neatly, more ever more alike."""
    task: PenConfig = PenConfig()
    model: HandwritingConfig = HandwritingConfig()
    training: TrainingConfig = TrainingConfig(
        steps=1600, batch_tokens=4000, learning_rate=3e-3, threads=1, schedule="linear", warmup=100, clip=1.0,
        validate_every=200,
    )  # fmt: skip
    sampling: Sampling = Sampling()


def task(config: Config, assets: Path | None) -> PenTask:
    return PenTask(config.task, assets)


def build(config: Config, task: Any) -> Handwriting:
    return Handwriting(config.model, len(task.alphabet))


@torch.no_grad()
def predict(model: Any, batch: Batch, config: Config) -> list[Written]:
    """What is written for each text, and how likely the points of the batch are."""
    nats = [float("nan")] * len(batch.lengths)
    if batch.targets.shape[1]:
        densities = model(batch).log_density(batch.targets).masked_fill(~batch.mask, 0.0)
        nats = [round(-float(total), 4) for total in densities.double().sum(1)]
    traces = write(model, batch, config.bias, config.sampling.most, config.sampling.seed)
    return [
        Written(tuple(text[:length]), tuple(trace.points), tuple(trace.looks), begins, trace.ended, total)
        for text, length, trace, begins, total in zip(
            batch.asked.tolist(), batch.asked_lengths.tolist(), traces, batch.begins.tolist(), nats, strict=True
        )
    ]


TINY = Config(
    task=PenConfig(lines=400, fewest=1, most=3),
    model=HandwritingConfig(hidden_size=24, components=5),
    training=TrainingConfig(
        steps=120, batch_tokens=400, learning_rate=2e-2, threads=1, validate_every=40, checkpoint_every=20, log_every=10
    ),
)
# the sizes of the paper, for IAM-OnDB, whose folder must be named
PAPER = Config(
    task=PenConfig(corpus="iam", folder=Path("IAM-OnDB")),
    model=HandwritingConfig(hidden_size=400),
    training=TrainingConfig(
        steps=60000, batch_tokens=20000, learning_rate=1e-4, schedule="constant", clip=10.0, validate_every=1000,
        keep="best",
    ),
    sampling=Sampling(most=60),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Generating Sequences With Recurrent Neural Networks",
        authors="Graves",
        year=2013,
        arxiv="1308.0850",
        target="tables 3 and 4",
        number="-1096.9 nats a line, synthesis; -1041.0, prediction with 3 layers (IAM-OnDB)",
    ),
    task=task,
    build=build,
    predict=predict,
    variants={
        "default": Config(),
        "tiny": TINY,
        "prediction": Config(model=HandwritingConfig(network="prediction")),
        "paper": PAPER,
    },
    shows=(
        Show(tap="pen", picture="pen", rows="point", columns="coordinate", title="Pen", values="x-heights"),
        Show(
            tap="path", picture="alignment", rows="character", columns="point", title="Window", values="window weight"
        ),
    ),
    claims=(
        Claim(
            metric="gain",
            direction="max",
            bound=2.0,
            split="test",
            variant="default",
            why="a net that knows the text and what it has written says far more than the offsets' mixture alone",
        ),
        Claim(
            metric="read",
            direction="max",
            bound=80.0,
            split="test",
            variant="default",
            why="four of five letters, cut out by where the window stood, are those that were asked for",
        ),
    ),
)
