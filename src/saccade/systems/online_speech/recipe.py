"""The recipe of hard online attention on speech: what it is trained on, how, and what it must reach."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from saccade.core.config import config
from saccade.core.recipe import Claim, Paper, Recipe, Show
from saccade.systems.online_speech.model import OnlineSpeech, OnlineSpeechConfig
from saccade.systems.online_speech.objective import objective
from saccade.tasks.speech import BLANK, START, Batch, SpeechConfig, SpeechTask
from saccade.training.config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path


@config
class Config:
    """Hard online attention on recordings."""

    task: SpeechConfig = SpeechConfig(stack=5)
    model: OnlineSpeechConfig = OnlineSpeechConfig()
    training: TrainingConfig = TrainingConfig(
        steps=2500, batch_tokens=1200, learning_rate=2e-3, threads=1, schedule="linear", warmup=100, validate_every=250
    )


def task(config: Config, assets: "Path | None") -> SpeechTask:
    return SpeechTask(config.task, assets)


def build(config: Config, task: Any) -> OnlineSpeech:
    return OnlineSpeech(config.model, config.task.bins * config.task.stack, len(task.symbols))


def predict(model: Any, batch: Batch, config: Config) -> list[list[int]]:
    """A symbol a step, most of them the blank: so it is known when each label was said."""
    said = model.listen(batch.features, batch.mask, START, BLANK)
    return [row[:length] for row, length in zip(said.tolist(), batch.lengths.tolist(), strict=True)]


DEFAULT = Config()
TINY = Config(
    task=SpeechConfig(corpus="dialled", strings=200, fewest=1, most=3, bins=20, stack=4),
    model=OnlineSpeechConfig(layers=1, hidden_size=24, embedding_size=8, dropout=0.0, pace=0.15),
    training=TrainingConfig(
        steps=100, batch_tokens=600, learning_rate=1e-2, threads=1, validate_every=50, checkpoint_every=20, log_every=10
    ),
)

RECIPE = Recipe(
    paper=Paper(
        title="Learning Online Alignments with Continuous Rewards Policy Gradient",
        authors="Luo, Chiu, Jaitly & Sutskever",
        year=2016,
        arxiv="1608.01281",
        target="table 1",
        number="20.5 % phoneme error rate (TIMIT, grid LSTM)",
    ),
    task=task,
    build=build,
    predict=predict,
    objective=objective,
    variants={
        "default": DEFAULT,
        "row-constant": replace(DEFAULT, model=OnlineSpeechConfig(policy="constant")),
        "tiny": TINY,
    },
    shows=(
        Show(
            tap="emissions", picture="alignment", rows="label", columns="time (seconds)",
            values="probability of saying it now",
        ),
    ),
    claims=(
        Claim(
            metric="label_error_rate",
            direction="min",
            bound=17.9,
            split="test",
            variant="default",
            why="a constant policy at the mean pace, a label at every 12th step (row-constant), errs so often",
        ),
    ),
)  # fmt: skip
