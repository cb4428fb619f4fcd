"""The recipe of hierarchical encoder-decoders: Shakespeare's turns, variants, pictures."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saccade.core.config import config
from saccade.core.device import evaluating
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Loss, Paper, Part, Recipe, Step
from saccade.explain.pictures.text import Text
from saccade.nets.search import SearchConfig, Symbols, answers
from saccade.nets.written import written
from saccade.systems.hred.influence import MOST, Influence, influences
from saccade.systems.hred.model import HRED, HREDConfig
from saccade.tasks.dialogue import END, PAD, START, Batch, DialogueConfig, DialogueTask, Judged
from saccade.tasks.dialogue.task import padded
from saccade.training.config import TrainingConfig

SYMBOLS = Symbols(START, END)
LONGEST = 40  # words of a turn that is written


@config
class Config:
    """A hierarchical encoder-decoder of dialogues."""

    task: DialogueConfig = DialogueConfig()
    model: HREDConfig = HREDConfig()
    training: TrainingConfig = TrainingConfig(
        steps=1200, batch_size=2500, learning_rate=3e-3, warmup=50, validate_every=100, checkpoint_every=500,
        keep="best", log_every=50,
    )  # fmt: skip
    search: SearchConfig = SearchConfig(length_penalty=1.0)


def task(config: Config, assets: Path | None) -> DialogueTask:
    return DialogueTask(config.task, assets)


def build(config: Config, task: Any) -> HRED:
    return HRED(config.model, len(task.words))


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """Nats a word. In training some turns are predicted without their context."""
    there = batch.turns[:, :, 0] == START
    contexts = model.contexts(batch.turns)[:, :-1][there]
    if model.training and model.config.context:
        kept = torch.rand(len(contexts), 1, device=contexts.device) >= model.config.without
        contexts = contexts * kept
    turns = batch.turns[there]
    count = (turns[:, 1:] != PAD).sum()
    return Loss({"nats": Part(model.loss(turns, contexts) / count.clamp(min=1), count)})


@torch.no_grad()
def predict(model: Any, batch: Batch, config: Config) -> list[Judged]:
    """The nats of each turn with its context, without it, and with that of other dialogues; of a typed dialogue the
    next turn."""
    contexts, there = model.contexts(batch.turns), batch.turns[:, :, 0] == START
    turns, own = batch.turns[there], contexts[:, :-1][there]
    found = [model.nats(turns, own)]
    if model.config.context:
        found.append(model.nats(turns, torch.zeros_like(own)))
        if batch.others is not None and batch.others.shape[1] == batch.turns.shape[1]:
            found.append(model.nats(turns, model.contexts(batch.others)[:, :-1][there]))
    counts = there.sum(1).tolist()
    columns = [[tuple(round(value, 4) for value in part.tolist()) for part in one.split(counts)] for one in found]
    return [
        Judged((), answer=reply(model, contexts[row, -1:], config)) if batch.typed[row] else Judged(*each)
        for row, each in enumerate(zip(*columns, strict=True))
    ]


def reply(model: Any, context: Float[Tensor, "1 c"], config: Config) -> tuple[int, ...]:
    """The next turn of one dialogue, from its context."""
    limits = torch.full((1,), LONGEST, device=context.device)
    return tuple(answers(model, context, limits, SYMBOLS, config.search, config.training.seed)[0])


def answered(answer: Answer) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
    """The turns that were read, and the one after them: the one that was written, or the last of the dialogue."""
    turns = list(answer.example.turns)
    if not answer.example.typed:
        return turns[:-1], turns[-1]
    own = (START, *answer.prediction.answer)
    return turns, own if len(own) > LONGEST else (*own, END)


def pictures(answer: Answer) -> list[Picture]:
    """How unlikely each word of the turn was; and, if turns before it are read, the influence of each on it."""
    turns, last = answered(answer)
    with evaluating(answer.model):
        found: list[Picture] = [surprise(answer, turns, last)]
        if turns and answer.config.model.context:
            said = [answer.task.said(turn) for turn in turns[-MOST:]]
            nats = influences(answer.model, turns, last).tolist()
            found.append(Influence("influence", said, nats, answer.task.said(last)))
    return found


@torch.no_grad()
def surprise(answer: Answer, turns: Sequence[tuple[int, ...]], last: tuple[int, ...]) -> Text:
    """The words of the turn, each with its surprise given the turns before."""
    model: Any = answer.model
    context = model.contexts(given_to(answer, turns))[:, -1]
    [(_, projection, words)] = model.predicted(torch.tensor([last], device=answer.device), context)
    bits = -projection.rewards(words, PAD)[0].double().cpu() / math.log(2)
    names = ["end" if symbol == END else answer.task.words[symbol] for symbol in last[1:]]
    after = f"{len(turns)} turn{'s' * (len(turns) != 1)}"
    return Text("surprise", names, bits, "bits", f"How unlikely each word was, after {after}")


def given_to(answer: Answer, turns: Sequence[tuple[int, ...]]) -> Int[Tensor, "1 m t"]:
    """The turns as a batch of one dialogue."""
    found = padded([tuple(turns)]) if turns else torch.zeros(1, 0, 1, dtype=torch.long)
    return found.to(answer.device)


def steps(answer: Answer, count: int) -> list[Step]:
    """The likeliest words at each step of the turn that was written, or of the last one of a dialogue."""
    model: Any = answer.model
    turns, last = answered(answer)
    own = [symbol for symbol in last if symbol not in (START, END)]
    given = given_to(answer, turns)
    limit = None if last[-1] == END else len(own)

    def named(symbols: Sequence[int]) -> list[str]:
        return [answer.task.words[symbol] for symbol in symbols]

    with evaluating(model):
        context = model.contexts(given)[:, -1]
        return written(model, context, own, SYMBOLS, named, count, limit)


def modelled(base: Config, **changes: Any) -> Config:
    return replace(base, model=replace(base.model, **changes))


TINY = Config(
    task=DialogueConfig(limit=12, longest=20),
    model=HREDConfig(embedding_size=12, turn_size=8, context_size=8, decoder_size=16, dropout=0.0),
    training=TrainingConfig(
        steps=20, batch_size=300, learning_rate=2e-2, threads=1, validate_every=10, checkpoint_every=10, log_every=5
    ),
    search=SearchConfig(beam=2),
)

RECIPE = Recipe(
    paper=Paper(
        title="Building End-To-End Dialogue Systems Using Generative Hierarchical Neural Network Models",
        authors="Serban, Sordoni, Bengio, Courville & Pineau",
        year=2016,
        arxiv="1507.04808",
        target="perplexity on MovieTriples, after training on SubTle",
        number="26.8 with both directions, where a recurrent net without hierarchy has 27.1",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    pictures=pictures,
    steps=steps,
    variants={
        "default": Config(),
        "tiny": TINY,
        "without-context": modelled(Config(), context=False, without=0.0),
        "forward": modelled(Config(), bidirectional=False),
    },
)
