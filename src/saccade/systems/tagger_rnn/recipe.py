"""The recipe of recurrent taggers: sentences, variants, pictures and claims."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from saccade.core.config import config
from saccade.core.device import evaluating, to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Loss, Paper, Part, Recipe
from saccade.explain.pictures.alignment import Alignment
from saccade.systems.tagger_rnn.model import Tagger, TaggerConfig
from saccade.tasks.entities import Batch, EntitiesConfig, EntitiesTask
from saccade.training.config import TrainingConfig


@config
class Config:
    """A recurrent tagger."""

    task: EntitiesConfig = EntitiesConfig()
    model: TaggerConfig = TaggerConfig()
    training: TrainingConfig = TrainingConfig(
        steps=1600, batch_size=800, learning_rate=3e-3, clip=5.0, validate_every=100, checkpoint_every=400, keep="best"
    )


def task(config: Config, assets: Path | None) -> EntitiesTask:
    return EntitiesTask(config.task, assets)


def build(config: Config, task: Any) -> Tagger:
    return Tagger(config.model, len(task.symbols), len(task.alphabet), len(task.tags))


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """Nats a word; in evaluation there is no loss, and F1 decides."""
    if not model.training:
        return Loss({})
    count = batch.mask.sum()
    return Loss({"nats": Part(-model.log_likelihood(batch).sum() / count, count)})


def predict(model: Any, batch: Batch, config: Config) -> list[tuple[tuple[str, ...], tuple[int, ...]]]:
    """The words of each sentence, and their tags."""
    rows = model.tags(batch).tolist()
    return [(words, tuple(row[: len(words)])) for words, row in zip(batch.words, rows, strict=True)]


def pictures(answer: Answer) -> list[Picture]:
    """The probability of each tag of each word, and of each tag after another by the chain's transitions alone."""
    model: Any = answer.model
    batch = to_device(answer.task.collate([answer.example]), answer.device)
    with torch.no_grad(), evaluating(model):
        found = model.marginals(batch)[0].float().cpu()
    tags, words = answer.task.tags, list(answer.example.words)
    title = answer.task.bracketed(answer.prediction)
    pictures: list[Picture] = [Alignment("tags", found, words, tags, "word", "tag", "probability", title)]
    if model.chain is not None:
        after = model.chain.transitions.detach().float().cpu().softmax(1)
        what = "share of exp(transition)"
        pictures.append(Alignment("transitions", after, tags, tags, "tag before", "tag", what, "Transitions"))
    return pictures


TINY = Config(
    task=EntitiesConfig(limit=150),
    model=TaggerConfig(word_size=8, character_size=5, character_units=5, hidden_size=8, dropout=0.0),
    training=TrainingConfig(
        steps=20, batch_size=200, learning_rate=2e-2, threads=1, validate_every=10, checkpoint_every=10, log_every=5
    ),
)
BASE = Config()

RECIPE = Recipe(
    paper=Paper(
        title="Neural Architectures for Named Entity Recognition",
        authors="Lample, Ballesteros, Subramanian, Kawakami & Dyer",
        year=2016,
        arxiv="1603.01360",
        target="table 1, by the shared task of WNUT-17",
        number="90.94 F1 on CoNLL-2003 with pretrained vectors; WNUT-17's shared task, with vectors: 26.3 to 41.9",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    pictures=pictures,
    variants={
        "default": BASE,
        "tiny": TINY,
        "without-chain": replace(BASE, model=replace(BASE.model, chain=False)),
        "without-characters": replace(BASE, model=replace(BASE.model, characters=False)),
        "fifth": replace(BASE, task=EntitiesConfig(share=0.2)),
    },
    claims=(
        Claim(
            metric="entity_f1",
            direction="max",
            bound=12.0,
            variant="default",
            why="no outside vectors, and all names of the test are new (shared task, with vectors: 26.3 to 41.9)",
        ),
    ),
)
