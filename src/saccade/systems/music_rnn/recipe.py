"""The recipe of recurrent nets over music: chorales, variants, pictures and claims."""

import math
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from saccade.core.config import Seed, config
from saccade.core.recipe import Claim, Loss, Paper, Part, Recipe
from saccade.systems.music_rnn.composing import compose
from saccade.systems.music_rnn.model import IndependentNotes, MusicRNN, MusicRNNConfig, NadeNotes
from saccade.systems.music_rnn.pictures import pictures
from saccade.tasks.music import Batch, MusicConfig, MusicTask, Played
from saccade.tasks.music.frames import frames_from
from saccade.training.config import TrainingConfig


@config
class Sampling:
    """The music that is composed."""

    length: Annotated[int, Field(ge=1, le=1000)] = 64
    """Quarter notes to compose."""
    tempo: Annotated[int, Field(ge=20, le=400)] = 90
    """Quarter notes per minute of what is written, where the theme does not say."""
    seed: Seed = 1
    """Seed of the draws; another seed continues a theme differently."""


@config
class Config:
    """A recurrent net over music."""

    temperature: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Temperature of the draws: 1 draws from the model's distribution, less prefers likely notes, 0 takes each note
    that is more likely than not."""
    task: MusicConfig = MusicConfig()
    model: MusicRNNConfig = MusicRNNConfig(output=NadeNotes())
    training: TrainingConfig = TrainingConfig(
        steps=500, batch_size=700, learning_rate=4e-3, threads=1, warmup=50, clip=1.0, validate_every=50,
        keep="best", patience=4,
    )  # fmt: skip
    sampling: Sampling = Sampling()


def task(config: Config, assets: Path | None) -> MusicTask:
    return MusicTask(config.task, assets)


def build(config: Config, task: Any) -> MusicRNN:
    return MusicRNN(config.model, torch.from_numpy(task.frequencies).float())


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """Nats a frame."""
    count = batch.mask.sum()
    return Loss({"nats": Part(-model.log_prob(batch.frames, batch.mask).sum() / count.clamp(min=1), count)})


@torch.no_grad()
def predict(model: Any, batch: Batch, config: Config) -> list[Played]:
    """The nats of each piece, or, of a theme, what is composed after it."""
    found = [Played((), 0, math.nan, math.nan)] * len(batch.scored)
    lengths = batch.mask.sum(1).tolist()
    if bool(batch.scored.any()):
        nats = -model.log_prob(batch.frames, batch.mask).double()
        for row in batch.scored.nonzero()[:, 0].tolist():
            found[row] = Played((), 0, round(float(nats[row].sum()), 4), round(float(nats[row, 0]), 4))
    rows = (~batch.scored).nonzero()[:, 0].tolist()
    if rows:
        longest = max(lengths[row] for row in rows)
        themes, mask = batch.frames[rows, :longest], batch.mask[rows, :longest]
        given = [frames_from(theme[: lengths[row]].cpu().numpy()) for row, theme in zip(rows, themes, strict=True)]
        seeds = [(config.sampling.seed, theme) for theme in given]
        added = compose(model, themes, mask, config.sampling.length, config.temperature, seeds).cpu().numpy()
        for row, theme, more in zip(rows, given, added, strict=True):
            found[row] = Played((*theme, *frames_from(more)), len(theme), math.nan, math.nan)
    return found


TINY = Config(
    model=MusicRNNConfig(hidden_size=16, output=NadeNotes(hidden_size=8), dropout=0.0, input_dropout=0.0),
    training=TrainingConfig(
        steps=40, batch_size=400, learning_rate=2e-2, threads=1, validate_every=20, checkpoint_every=20, log_every=10
    ),
    sampling=Sampling(length=16),
)


def jsb(output: IndependentNotes | NadeNotes) -> Config:
    """All of JSB Chorales; --task.file names its file. Without the shifts the net remembers the pieces."""
    return Config(
        task=MusicConfig(file=Path("jsb-chorales-quarter.json.gz"), transpose=5),
        model=MusicRNNConfig(hidden_size=300, output=output, dropout=0.3, input_dropout=0.1),
        training=TrainingConfig(
            steps=3500, batch_size=700, learning_rate=4e-3, schedule="cosine", threads=1, warmup=50, clip=1.0,
            validate_every=100, keep="best", patience=8, ema=0.99,
        ),
    )  # fmt: skip


RECIPE = Recipe(
    paper=Paper(
        title="Modeling Temporal Dependencies in High-Dimensional Sequences",
        authors="Boulanger-Lewandowski, Bengio & Vincent",
        year=2012,
        arxiv="1206.6392",
        target="table 1, JSB Chorales",
        number="8.71 nats a frame (RNN), 6.35 (RTRBM), 5.56 (RNN-NADE)",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    pictures=pictures,
    variants={
        "default": Config(),
        "tiny": TINY,
        "jsb": jsb(IndependentNotes()),
        "jsb-nade": jsb(NadeNotes()),
    },
    claims=(
        Claim(
            metric="nats_per_frame",
            direction="min",
            bound=8.4,
            variant="jsb",
            why="independent notes in ten minutes; the paper's RNN has 8.71, Bai et al. 2018 have 8.45 with an "
            "LSTM and 8.10 with a TCN",
        ),
        Claim(
            metric="nats_per_frame",
            direction="min",
            bound=7.0,
            variant="jsb-nade",
            why="notes that depend on each other, in ten minutes; the paper's RNN-NADE has 5.56",
        ),
    ),
)
