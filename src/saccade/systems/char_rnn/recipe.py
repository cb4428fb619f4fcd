"""The recipe of recurrent language models: text, variants, pictures and claims."""

import math
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch.nn import functional as F

from saccade.core.config import Seed, config
from saccade.core.device import evaluating
from saccade.core.errors import InvalidInput
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Loss, Paper, Part, Recipe, Step
from saccade.explain.pictures.characters import Characters
from saccade.systems.char_rnn.cells import LONGEST, TEXTS, followers, traced
from saccade.systems.char_rnn.model import CharRNN, CharRNNConfig
from saccade.systems.char_rnn.writing import write
from saccade.tasks.text import Batch, Example, LevelsTask, Lines, TextConfig, TextTask, Written
from saccade.tasks.text.levels import LONGEST as COLUMNS
from saccade.tasks.text.levels import path
from saccade.tasks.text.stream import Windows
from saccade.training.config import TrainingConfig


@config
class Sampling:
    """The text that is written."""

    length: Annotated[int, Field(ge=1, le=100_000)] = 400
    """Symbols to write."""
    seed: Seed = 1
    """Seed of the draws; another seed continues a text differently."""


@config
class Config:
    """A recurrent language model."""

    temperature: Annotated[float, Field(ge=0, le=100)] = 0.8
    """Temperature of the draws: 1 draws from the model's distribution, less prefers likely symbols, 0 takes the
    likeliest."""
    task: TextConfig = TextConfig(window=64)
    model: CharRNNConfig = CharRNNConfig()
    training: TrainingConfig = TrainingConfig(
        steps=3000, batch_size=2048, learning_rate=4e-3, schedule="linear", warmup=50, clip=1.0, validate_every=1000,
    )  # fmt: skip
    sampling: Sampling = Sampling()


def task(config: Config, assets: Path | None) -> TextTask:
    return (LevelsTask if config.task.corpus == "levels" else TextTask)(config.task, assets)


def build(config: Config, task: Any) -> CharRNN:
    return CharRNN(config.model, len(task.symbols.names))


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """The cross-entropy of the scored symbols; the state goes on to the next window."""
    logits, state = model(batch.symbols[:, :-1], batch.mask[:, :-1], batch.state)
    scored = batch.scored[:, 1:]
    loss = F.cross_entropy(logits[scored], batch.symbols[:, 1:][scored], reduction="sum")
    count = scored.sum()
    return Loss({"nats": Part(loss / count.clamp(min=1), count)}, carry=state if model.training else None)


@torch.no_grad()
def predict(model: Any, batch: Batch, config: Config) -> list[Written]:
    """The nats of the scored symbols, or, where none is scored, the text written on."""
    nats = torch.full((len(batch.symbols),), math.nan, dtype=torch.float64)
    asked = ~batch.scored.any(1)
    if not bool(asked.all()):
        logits, _ = model(batch.symbols[:, :-1], batch.mask[:, :-1])
        each = F.cross_entropy(logits.float().mT, batch.symbols[:, 1:], reduction="none")
        nats = each.double().masked_fill(~batch.scored[:, 1:], 0.0).sum(1)
    found: list[Written] = [Written((), round(float(value), 4)) for value in nats.tolist()]
    rows = asked.nonzero()[:, 0].tolist()
    if rows:
        texts = [batch.symbols[row][batch.mask[row]].tolist() for row in rows]
        seeds = [(config.sampling.seed, int(batch.numbers[row]), text) for row, text in zip(rows, texts, strict=True)]
        symbols, mask = batch.symbols[rows], batch.mask[rows]
        longest = int(mask.sum(1).max())
        added = write(
            model, symbols[:, :longest], mask[:, :longest], config.sampling.length, config.temperature, seeds
        ).tolist()
        for row, text, more in zip(rows, texts, added, strict=True):
            found[row] = Written((*text, *more), math.nan)
    return found


def shown_symbols(answer: Answer) -> list[int]:
    """The text as it was written on, or else the scored one."""
    symbols: list[int] = list(answer.prediction.symbols) or answer.example.symbols.tolist()
    return symbols


def pictures(answer: Answer) -> list[Picture]:
    """The text, shaded by the cells that follow capitals and the place in the line most closely; or a level."""
    if isinstance(answer.task, LevelsTask):
        return [level(answer)]
    own, task = shown_symbols(answer)[:2000], answer.task
    recurrent: Any = answer.model.recurrent
    cells = traced(answer.model, torch.tensor([own], device=answer.device))
    names = [name if len(name) == 1 else "?" for name in task.labels(own)]
    learned, texts = cells, ["".join(names)]
    held_out = texts_of(task)
    if held_out:
        symbols = torch.stack([one.symbols for one in held_out]).to(answer.device)
        learned = traced(answer.model, symbols)
        texts = ["".join(name if len(name) == 1 else "?" for name in task.labels(row)) for row in symbols.tolist()]
    found: list[Picture] = []
    for place, (what, layer, cell, correlation) in enumerate(followers(learned, texts)):
        shade = cells[0, :, layer, cell].float().cpu() * (1 if correlation >= 0 else -1)
        unit, value = ("Cell", "tanh(c)") if recurrent.has_cell else ("Unit", "h")
        title = f"{unit} {cell} of layer {layer + 1} follows {what} (correlation {abs(correlation):.2f})"
        values = f"{unit.lower()}, {value if correlation >= 0 else f'-{value}'}"
        found.append(Characters(("capitals", "line")[place], "".join(names), shade, values, title))
    return found[::-1]


ACROSS = 60  # columns of a level that are drawn side by side


def level(answer: Answer) -> Characters:
    """A level, and the way to its end; of an answer without one, the columns that were read."""
    columns = answer.task.columns(answer.prediction) or answer.task.labels(answer.example.symbols.tolist())
    steps, lines, numbers = set(path(columns)), list[str](), list[float]()
    for start in range(0, len(columns), ACROSS):  # a long level in parts, one below the other
        part = columns[start : start + ACROSS]
        lines += [""] if start else []
        numbers += [0.0] if start else []
        for y, tiles in enumerate(zip(*part, strict=True)):
            lines.append("".join(tiles).replace("-", " "))
            numbers += [*(float((start + x, y) in steps) for x in range(len(part))), 0.0]
    return Characters("level", "\n".join(lines), numbers[:-1], "way to the end", answer.task.decode(answer.prediction))


def texts_of(task: Any) -> list[Example]:
    """Texts of the validation part, as long as each other, to find cells in; none if the text is no longer there."""
    try:
        examples = task.examples("validation")
    except (InvalidInput, LookupError, OSError):
        return []
    longest = max(len(example.symbols) for example in examples)
    kept = [one._replace(symbols=one.symbols[:LONGEST]) for one in examples if len(one.symbols) == longest]
    return kept[:TEXTS]


def steps(answer: Answer, count: int) -> list[Step]:
    """The symbols that were written, or scored, each with the likeliest ones in its place."""
    names = [VISIBLE.get(name, name) for name in answer.task.symbols.names]
    symbols = shown_symbols(answer)
    if not 1 <= count <= len(names):
        raise InvalidInput(f"expected from 1 to {len(names)} likeliest symbols, got {count}")
    first = len(symbols) - answer.example.scored if answer.example.scored else len(answer.example.symbols)
    given = torch.tensor([symbols], device=answer.device)
    with torch.no_grad(), evaluating(answer.model):
        logits, _ = answer.model(given[:, :-1], torch.ones_like(given[:, :-1], dtype=torch.bool))
    rows = logits[0].float().log_softmax(-1)
    found = []
    for place in range(first, len(symbols)):
        values, best = rows[place - 1].topk(count)
        likeliest = [(names[symbol], value) for symbol, value in zip(best.tolist(), values.tolist(), strict=True)]
        found.append(Step(names[symbols[place]], float(rows[place - 1, symbols[place]]), likeliest))
    return found


VISIBLE = {"\n": "⏎", " ": "␣"}

TINY = Config(
    task=TextConfig(limit=99_000, window=16, context=64, validated=512),
    model=CharRNNConfig(embedding_size=8, hidden_size=24, dropout=0.0),
    training=TrainingConfig(
        steps=60, batch_size=256, learning_rate=2e-2, threads=1, validate_every=30, checkpoint_every=20, log_every=10
    ),
    sampling=Sampling(length=40),
)

RECIPE = Recipe(
    paper=Paper(
        title="Visualizing and Understanding Recurrent Networks",
        authors="Karpathy, Johnson & Fei-Fei",
        year=2015,
        arxiv="1506.02078",
        target="figures 2 and 3, on tinyshakespeare",
        number="none on this text; nanoGPT's README: 2.71 bits a character after 3 minutes on a CPU, 2.12 on a GPU",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    stream=lambda config, task, model: Windows(task, config.training.batch_size),
    pictures=pictures,
    steps=steps,
    variants={
        "default": Config(),
        "tiny": TINY,
        "long": Config(
            model=CharRNNConfig(hidden_size=512, dropout=0.4, weight_dropout=0.1),
            training=TrainingConfig(
                steps=4500,
                batch_size=4096,
                learning_rate=4e-3,
                schedule="linear",
                warmup=50,
                clip=1.0,
                validate_every=500,
            ),
        ),
        "levels": Config(
            temperature=1.0,
            task=TextConfig(corpus="levels", symbols=Lines(), window=64),
            model=CharRNNConfig(cell="lstm", embedding_size=32, hidden_size=128, dropout=0.0),
            training=TrainingConfig(
                steps=5000, batch_size=1024, learning_rate=5e-3, threads=1, warmup=50, validate_every=1000
            ),
            sampling=Sampling(length=COLUMNS),
        ),
    },
    claims=(
        Claim(
            metric="bits_per_character",
            direction="min",
            bound=2.35,
            variant="default",
            over="each",
            why="nanoGPT's README has 2.71 bits a character after 3 minutes on a CPU, on the same last tenth",
        ),
        Claim(
            metric="bits_per_character",
            direction="min",
            bound=2.25,
            variant="long",
            why="ten minutes of two cores; nanoGPT's README has 2.12 on a GPU",
        ),
        Claim(
            metric="walked",
            direction="max",
            bound=80.0,
            variant="levels",
            why="what stands before a tower must be remembered; less than half of a trigram's levels can be walked",
        ),
    ),
)
