"""The recipe of ELMo: sentences, variants and pictures."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from saccade.core.config import config
from saccade.core.device import to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Loss, Paper, Part, Recipe
from saccade.nets.bidirectional_language_model import BidirectionalLanguageModel
from saccade.nets.character_convolution import Spelled, spelled
from saccade.systems.elmo.both_ways import BothWays
from saccade.systems.elmo.contexts import Contexts
from saccade.systems.elmo.model import ElmoConfig, network
from saccade.systems.elmo.neighbours import neighbours
from saccade.tasks.monolingual import Batch, MonolingualConfig, MonolingualTask, Surprise
from saccade.training.config import TrainingConfig


@config
class Config:
    """A bidirectional language model."""

    word: str = ""
    """The word of a sentence whose nearest contexts are shown; by default its longest that the training has."""
    task: MonolingualConfig = MonolingualConfig()
    model: ElmoConfig = ElmoConfig()
    training: TrainingConfig = TrainingConfig(
        steps=4000, batch_size=1200, learning_rate=3e-3, schedule="linear", warmup=100, clip=1.0, validate_every=500,
        checkpoint_every=1000, keep="best",
    )  # fmt: skip


def task(config: Config, assets: Path | None) -> MonolingualTask:
    return MonolingualTask(config.task, assets)


def build(config: Config, task: Any) -> BidirectionalLanguageModel:
    return network(config.model, len(task.symbols), config.task.letters)


def spelling(model: Any, batch: Batch) -> Spelled:
    """The spelling of the words, where the batch is."""
    found: Spelled = to_device(spelled(batch.words, model.longest), batch.symbols.device)
    return found


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """Nats a word, forward and backward."""
    forward, backward = model.nats(spelling(model, batch), batch.symbols)
    count = batch.mask[:, 1:].sum()
    return Loss({"forward": Part(forward.sum() / count, count), "backward": Part(backward.sum() / count, count)})


@torch.no_grad()
def predict(model: Any, batch: Batch, config: Config) -> list[Surprise]:
    nats = model.nats(spelling(model, batch), batch.symbols).double().tolist()
    return [
        Surprise(words, *(tuple(round(value, 4) for value in way[: len(words) + 1]) for way in ways))
        for words, *ways in zip(batch.words, *nats, strict=True)
    ]


def pictures(answer: Answer) -> list[Picture]:
    """How unlikely each word was from each side, and the contexts that are nearest to one of the words."""
    task, ours = answer.task, answer.prediction
    forward, backward = ([nats / math.log(2) for nats in way] for way in (ours.forward[:-1], ours.backward[1:]))
    title = task.decode(ours).partition(":")[0].capitalize()
    found: list[Picture] = [BothWays("surprise", ours.words, forward, backward, title)]
    near = neighbours(answer.model, task, ours.words, answer.config.word)
    if near is not None:
        title = f"“{near.word}” in: {' '.join(ours.words)}"
        found.append(Contexts("contexts", near.contexts, near.cosines, title))
    return found


TINY = Config(
    task=MonolingualConfig(limit=200, fewest=3),
    model=ElmoConfig(character_size=4, filters=(4, 4, 8), size=8, hidden_size=12, dropout=0.0),
    training=TrainingConfig(
        steps=30, batch_size=200, learning_rate=2e-2, threads=1, validate_every=15, checkpoint_every=10, log_every=10
    ),
)
BASE = Config()

RECIPE = Recipe(
    paper=Paper(
        title="Deep contextualized word representations",
        authors="Peters, Neumann, Iyyer, Gardner, Clark, Lee & Zettlemoyer",
        year=2018,
        arxiv="1802.05365",
        target="section 3.4 and table 4, on Tatoeba's English sentences",
        number="39.7, the mean of forward and backward perplexity on the 1B Word Benchmark",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    pictures=pictures,
    variants={
        "default": BASE,
        "tiny": TINY,
        "paper": replace(
            BASE,
            model=ElmoConfig(
                filters=(32, 32, 64, 128, 256, 512, 1024), highways=2, size=512, hidden_size=4096, dropout=0.1
            ),
        ),
    },
)
