"""The recipe of hard online attention on speech: data, variants, pictures and claims."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from saccade.core.config import config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Paper, Recipe
from saccade.explain import answers as shown
from saccade.explain.pictures.sound import Sound
from saccade.systems.online_speech.model import Constant, Learned, OnlineSpeech, OnlineSpeechConfig
from saccade.systems.online_speech.objective import objective
from saccade.tasks.speech import BLANK, START, Batch, SpeechConfig, SpeechTask
from saccade.tasks.speech.audio import FRAME_SHIFT
from saccade.tasks.speech.stream import by_frames
from saccade.training.config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path


@config
class Config:
    """Hard online attention on recordings."""

    task: SpeechConfig = SpeechConfig(stack=5)
    model: OnlineSpeechConfig = OnlineSpeechConfig()
    training: TrainingConfig = TrainingConfig(
        steps=2500, batch_size=1200, learning_rate=2e-3, threads=1, schedule="linear", warmup=100, validate_every=250
    )


def task(config: Config, assets: "Path | None") -> SpeechTask:
    return SpeechTask(config.task, assets)


def build(config: Config, task: Any) -> OnlineSpeech:
    return OnlineSpeech(config.model, config.task.bins * config.task.stack, len(task.symbols))


def predict(model: Any, batch: Batch, config: Config) -> list[list[int]]:
    """A symbol for each step, mostly the blank, so that the step of each label is known."""
    said = model.listen(batch.features, batch.mask, START, BLANK)
    return [row[:length] for row, length in zip(said.tolist(), batch.lengths.tolist(), strict=True)]


def pictures(answer: Answer) -> list[Picture]:
    look = shown.alignment(answer, objective, "emissions", "label", "time (seconds)")
    if look is None:
        return []
    task = answer.task
    return [Sound(
        "sound", look.weights, look.rows, task.step_seconds, features=task.frames(answer.example), frame=FRAME_SHIFT,
        rows_label="label", values="probability of emitting it now",
    )]  # fmt: skip


DEFAULT = Config()
TINY = Config(
    task=SpeechConfig(corpus="dialled", strings=200, fewest=1, most=3, bins=20, stack=4),
    model=OnlineSpeechConfig(layers=1, hidden_size=24, embedding_size=8, dropout=0.0, policy=Learned(pace=0.15)),
    training=TrainingConfig(
        steps=100, batch_size=600, learning_rate=1e-2, threads=1, validate_every=50, checkpoint_every=20, log_every=10
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
    stream=by_frames,
    pictures=pictures,
    variants={
        "default": DEFAULT,
        "row-constant": replace(DEFAULT, model=OnlineSpeechConfig(policy=Constant())),
        "tiny": TINY,
    },
    claims=(
        Claim(
            metric="label_error_rate",
            direction="min",
            bound=17.9,
            variant="default",
            why="the error rate of a constant policy at the mean pace, a label at every 12th step (row-constant)",
        ),
    ),
)  # fmt: skip
