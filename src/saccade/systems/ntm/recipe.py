"""The recipe of neural Turing machines: algorithms, variants, pictures and claims."""

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
from saccade.explain.pictures.alignment import Alignment
from saccade.systems.ntm.model import NTMConfig, TuringMachine
from saccade.tasks.algorithms import (
    AlgorithmsConfig,
    AlgorithmsTask,
    AssociativeRecall,
    Batch,
    Copy,
    NGrams,
    Prediction,
    PrioritySort,
    RepeatCopy,
)
from saccade.tasks.algorithms.objective import loss, predictions
from saccade.tasks.algorithms.task import AlgorithmStream
from saccade.training.config import TrainingConfig


def training(steps: int) -> TrainingConfig:
    """Adam in place of the paper's RMSprop, and batches of 16."""
    return TrainingConfig(
        steps=steps, batch_size=16, learning_rate=1e-3, schedule="linear", clip=1.0, threads=1,
        validate_every=500, checkpoint_every=500, log_every=50, keep="best",
    )  # fmt: skip


@config
class Config:
    """Neural Turing machines."""

    task: AlgorithmsConfig = AlgorithmsConfig()
    model: NTMConfig = NTMConfig()
    training: TrainingConfig = training(6000)


def task(config: Config, assets: Path | None) -> AlgorithmsTask:
    return AlgorithmsTask(config.task)


def build(config: Config, task: Any) -> TuringMachine:
    return TuringMachine(config.model, task.algorithm)


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
    found = shown.memory_pictures(heads, example.inputs, example.targets, said, example.counted, title)
    return [*found, addressing(answer)]


def addressing(answer: Answer) -> Alignment:
    """The weights of the first read head after each stage of its addressing, in the first step of the answer."""
    machine: Any = answer.model.machine
    step = int(answer.example.counted.int().argmax())
    inputs = answer.task.collate([answer.example]).inputs.to(answer.device, machine.output.weight.dtype)
    with torch.no_grad(), evaluating(answer.model):
        state = machine(inputs[:, :step])[1]
        emitted, stages = machine.look(inputs[:, step], state)
    rows = {"before": state.read_weights, **stages._asdict()}
    table = torch.stack([weights[0, 0] for weights in rows.values()]).float().cpu()
    first, last = shown.used({"": table})
    at = emitted.address
    moves = enumerate(at.shift[0, 0].tolist(), -(at.shift.shape[-1] // 2))
    shifts = ", ".join(f"{move:+d}: {share:.2f}" if move else f"0: {share:.2f}" for move, share in moves)
    title = f"step {step}: gate {at.gate[0, 0]:.2f}; shifts {shifts}; sharpness {at.sharpness[0, 0]:.2f}"
    slots = [str(slot) for slot in range(first, last)]
    return Alignment("addressing", table[:, first:last], list(rows), slots, "stage", "slot", "weight", title)


def measures(answer: Answer) -> dict[str, Figure]:
    """How sharply the machine reads while it answers."""
    return {"focus": shown.focus(watched(answer)[1], answer.example.counted)}


TINY = Config(
    task=AlgorithmsConfig(algorithm=Copy(bits=3, longest=3, farthest=6), validation=16, test=32, beyond=2),
    model=NTMConfig(hidden_size=20, slots=8, slot_size=6),
    training=TrainingConfig(
        steps=60, batch_size=8, learning_rate=1e-2, clip=10.0, threads=1, validate_every=20, checkpoint_every=20,
        log_every=5,
    ),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Neural Turing Machines",
        authors="Graves, Wayne & Danihelka",
        year=2014,
        arxiv="1410.5401",
        target="figures 3 to 5: copy of 8-bit rows, lengths 1 to 20, and generalisation to 120",
        number="near 0 bits per sequence on copy, by its figure 3 (RMSprop; no table)",
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
        "repeat-copy": Config(task=AlgorithmsConfig(algorithm=RepeatCopy()), training=training(5500)),
        "associative-recall": Config(task=AlgorithmsConfig(algorithm=AssociativeRecall()), training=training(16000)),
        "n-grams": Config(task=AlgorithmsConfig(algorithm=NGrams()), training=training(1100)),
        "priority-sort": Config(
            task=AlgorithmsConfig(algorithm=PrioritySort()),
            model=NTMConfig(read_heads=5, write_heads=5),
            training=training(3000),
        ),
    },
    claims=(
        Claim(
            metric="bits", direction="min", bound=0.01, variant="default",
            why="the paper's curves reach about 0 bits on copy; each seed must, since machines that learn with some "
            "seeds only are the usual complaint",
        ),
    ),
)  # fmt: skip
