"""The recipe of differentiable neural computers: algorithms, variants, pictures and claims."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saccade.core.config import config
from saccade.core.device import evaluating, to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Loss, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain import answers as shown
from saccade.explain.capture import capture
from saccade.systems.dnc.model import Computer, DNCConfig
from saccade.tasks.algorithms import (
    AlgorithmsConfig,
    AlgorithmsTask,
    Batch,
    Copy,
    Graph,
    Prediction,
    RepeatCopy,
)
from saccade.tasks.algorithms.objective import loss, predictions
from saccade.tasks.algorithms.task import AlgorithmStream
from saccade.training.config import TrainingConfig


def training(steps: int) -> TrainingConfig:
    """Adam in place of the paper's RMSprop, and batches of 16."""
    return TrainingConfig(
        steps=steps, batch_size=16, learning_rate=1e-3, schedule="linear", clip=10.0, threads=1,
        validate_every=500, checkpoint_every=500, log_every=50, keep="best",
    )  # fmt: skip


@config
class Config:
    """Differentiable neural computers."""

    task: AlgorithmsConfig = AlgorithmsConfig()
    model: DNCConfig = DNCConfig()
    training: TrainingConfig = training(9000)


def task(config: Config, assets: Path | None) -> AlgorithmsTask:
    return AlgorithmsTask(config.task)


def build(config: Config, task: Any) -> Computer:
    return Computer(config.model, task.algorithm)


def stream(config: Config, task: Any, model: Any) -> AlgorithmStream:
    return AlgorithmStream(task.algorithm, config.training.batch_size, config.training.seed)


def objective(model: Any, batch: Batch, step: int) -> Loss:
    return loss(model(batch), batch)


def predict(model: Any, batch: Batch, config: Config) -> list[Prediction]:
    return predictions(model(batch), batch)


def watched(answer: Answer) -> tuple[Batch, dict[str, Tensor], Tensor]:
    """The example as a batch, the weights of each head over time, and the probabilities of the outputs."""
    batch = to_device(answer.task.collate([answer.example]), answer.device)
    with torch.no_grad(), evaluating(answer.model), capture(answer.model, "*_weights") as seen:
        said = answer.model(batch)[0].sigmoid().cpu()
    return batch, shown.traces(seen), said


def pictures(answer: Answer) -> list[Picture]:
    _, heads, said = watched(answer)
    example = answer.example
    title = f"{answer.config.task.algorithm.name}: {answer.prediction.cost:.3f} bits"
    return shown.memory_pictures(heads, example.inputs, example.targets, said, example.counted, title)


def measures(answer: Answer) -> dict[str, Figure]:
    """How sharply the computer reads while it answers."""
    return {"focus": shown.focus(watched(answer)[1], answer.example.counted)}


TINY = Config(
    task=AlgorithmsConfig(algorithm=Copy(bits=3, longest=3, farthest=6), validation=16, test=32, beyond=2),
    model=DNCConfig(hidden_size=20, slots=8, slot_size=6),
    training=TrainingConfig(
        steps=60, batch_size=8, learning_rate=1e-2, clip=10.0, threads=1, validate_every=20, checkpoint_every=20,
        log_every=5,
    ),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Hybrid computing using a neural network with dynamic external memory",
        authors="Graves, Wayne, Reynolds, Harley, Danihelka, Grabska-Barwinska et al.",
        year=2016,
        doi="10.1038/nature20101",
        target="the copy problem of its extended data (dynamic memory allocation), and graph traversal in small",
        number="no table of copy; the paper's graph is the London Underground, after a curriculum",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    stream=stream,
    pictures=pictures,
    measures=measures,
    variants={
        "default": Config(),
        "tiny": TINY,
        "repeat-copy": Config(task=AlgorithmsConfig(algorithm=RepeatCopy()), training=training(4300)),
        "graph": Config(task=AlgorithmsConfig(algorithm=Graph()), training=training(25000)),
    },
    claims=(
        Claim(
            metric="bits", direction="min", bound=0.01, variant="default",
            why="the bound of neural Turing machines on the same sequences, for each seed",
        ),
    ),
)  # fmt: skip
