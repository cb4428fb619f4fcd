"""The recipe of clockwork RNNs: one signal, three networks of about as many weights, and pictures of the signal."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saccade.core.config import config
from saccade.core.device import evaluating, to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Loss, Paper, Part, Recipe
from saccade.explain.capture import capture
from saccade.explain.pictures.curve import Curve
from saccade.explain.pictures.memory_trace import MemoryTrace
from saccade.explain.plots.series import Line
from saccade.memory import ClockworkRNN
from saccade.systems.clockwork_rnn.model import Clockwork, Generator, GeneratorConfig, LongShortTerm, Simple
from saccade.tasks.waveform import Batch, WaveformConfig, WaveformTask
from saccade.training.config import TrainingConfig


def training(steps: int, rate: float) -> TrainingConfig:
    """There is one sequence, so a batch has one."""
    return TrainingConfig(
        steps=steps, batch_size=1, learning_rate=rate, schedule="linear", clip=1.0, threads=1, validate_every=500,
        checkpoint_every=500, log_every=50, keep="best",
    )  # fmt: skip


@config
class Config:
    """A recurrent network that generates a signal of several time scales."""

    task: WaveformConfig = WaveformConfig()
    model: GeneratorConfig = GeneratorConfig()
    training: TrainingConfig = training(6000, 1e-2)


def task(config: Config, assets: Path | None) -> WaveformTask:
    return WaveformTask(config.task)


def build(config: Config, task: Any) -> Generator:
    return Generator(config.model)


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """The mean squared error."""
    error = (model(batch) - batch.signal).square().mean()
    return Loss({"squared_error": Part(error, batch.signal.numel())})


def predict(model: Any, batch: Batch, config: Config) -> list[tuple[float, ...]]:
    return [tuple(round(value, 6) for value in row) for row in model(batch).double().tolist()]


def pictures(answer: Answer) -> list[Picture]:
    """The signal and the generated one, and how much each module of a clockwork RNN changes in each step."""
    steps = list(range(len(answer.example)))
    lines = {"signal": Line(steps, answer.example.tolist()), "generated": Line(steps, list(answer.prediction))}
    title = answer.task.decode(answer.prediction)
    found: list[Picture] = [Curve("signal", lines, "time step", "signal", title)]
    memory = answer.model.memory
    if isinstance(memory, ClockworkRNN):
        periods = memory.periods
        legend = f"modules 0 to {len(periods) - 1} with the periods {', '.join(map(str, periods))}"
        found.append(
            MemoryTrace("modules", {legend: changes(answer)}, "change of the state over the largest", rows="module")
        )
    return found


def changes(answer: Answer) -> Tensor:
    """The mean change of each module's units in each step, (t, modules), over the module's largest; 0 where it does not
    run."""
    model: Any = answer.model
    batch = to_device(answer.task.collate([answer.example]), answer.device)
    with torch.no_grad(), evaluating(model), capture(model, "hidden") as seen:
        model(batch)
    states = seen["hidden"][0][0].float().cpu()
    states = torch.cat([torch.zeros_like(states[:1]), states])
    found: Tensor = states.diff(dim=0).abs().unflatten(1, (-1, model.memory.module_size)).mean(2)
    largest: Tensor = found.amax(0).clamp(min=1e-12)
    return found / largest


RECIPE = Recipe(
    paper=Paper(
        title="A Clockwork RNN",
        authors="Koutnik, Greff, Gomez & Schmidhuber",
        year=2014,
        arxiv="1402.3511",
        target="section 4.1: generation of a signal of 320 samples from nothing, with networks of as many weights",
        number="a lower error than an RNN and an LSTM of as many weights (other signals: music; no number quoted)",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    pictures=pictures,
    variants={
        "default": Config(),
        "rnn": Config(model=GeneratorConfig(memory=Simple()), training=training(10000, 1e-3)),
        "lstm": Config(model=GeneratorConfig(memory=LongShortTerm()), training=training(2500, 1e-2)),
        "tiny": Config(
            task=WaveformConfig(steps=40, shortest=5.0, octaves=3),
            model=GeneratorConfig(memory=Clockwork(modules=4, module_size=3)),
            training=TrainingConfig(
                steps=60, batch_size=1, learning_rate=1e-2, threads=1, validate_every=20, checkpoint_every=20,
                log_every=5,
            ),
        ),
    },
)  # fmt: skip
