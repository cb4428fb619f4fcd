"""The recipe of sparse access memories: algorithms, variants and pictures."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saccade.core.config import config
from saccade.core.device import evaluating, to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Loss, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain import answers as shown
from saccade.explain.capture import capture
from saccade.systems.sparse_access_memory.model import SparseAccessConfig, SparseMachine
from saccade.tasks.algorithms import (
    AlgorithmsConfig,
    AlgorithmsTask,
    AssociativeRecall,
    Batch,
    Copy,
    Prediction,
)
from saccade.tasks.algorithms.objective import loss, predictions
from saccade.tasks.algorithms.task import AlgorithmStream
from saccade.training.config import TrainingConfig


def training(steps: int, batch_size: int = 16) -> TrainingConfig:
    """Adam in place of the paper's RMSprop, and batches of 16 sequences."""
    return TrainingConfig(
        steps=steps, batch_size=batch_size, learning_rate=1e-2, schedule="linear", clip=1.0, threads=1,
        validate_every=500, checkpoint_every=500, log_every=50, keep="best",
    )  # fmt: skip


@config
class Config:
    """Sparse access memories."""

    task: AlgorithmsConfig = AlgorithmsConfig()
    model: SparseAccessConfig = SparseAccessConfig()
    training: TrainingConfig = training(6000)


def task(config: Config, assets: Path | None) -> AlgorithmsTask:
    return AlgorithmsTask(config.task)


def build(config: Config, task: Any) -> SparseMachine:
    return SparseMachine(config.model, task.algorithm)


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
    """How sharply the heads read while an answer is due."""
    return {"focus": shown.focus(watched(answer)[1], answer.example.counted)}


def large(algorithm: Copy | AssociativeRecall) -> Config:
    """With 65,536 slots: batches of two, and fewer test sequences, since the exact search takes most of the time."""
    return Config(
        task=AlgorithmsConfig(algorithm=algorithm, validation=16, test=100, beyond=2),
        model=SparseAccessConfig(slots=65536),
        training=training(1200, 2),
    )


TINY = Config(
    task=AlgorithmsConfig(algorithm=Copy(bits=3, longest=3, farthest=6), validation=16, test=32, beyond=2),
    model=SparseAccessConfig(hidden_size=20, slots=16, slot_size=6),
    training=TrainingConfig(
        steps=60, batch_size=8, learning_rate=1e-2, clip=10.0, threads=1, validate_every=20, checkpoint_every=20,
        log_every=5,
    ),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Scaling Memory-Augmented Neural Networks with Sparse Reads and Writes",
        authors="Rae, Hunt, Harley, Danihelka, Senior, Wayne, Graves & Lillicrap",
        year=2016,
        arxiv="1610.09027",
        target="figure 1: time and memory of a step by slots; figure 2: copy and associative recall",
        number="1,000 x faster and with 3,000 x less memory than dense models at scale, by its abstract (no table)",
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
        "copy-64": Config(model=SparseAccessConfig(slots=64)),
        "copy-65536": large(Copy()),
        "associative-recall": Config(task=AlgorithmsConfig(algorithm=AssociativeRecall()), training=training(3500)),
        "associative-recall-65536": large(AssociativeRecall()),
    },
)
