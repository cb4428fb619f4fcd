"""The recipe of Megatron-LM: text, sizes, pictures and claims."""

from pathlib import Path
from typing import Any

import torch
from pydantic import model_validator

from saccade.core.config import config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Paper, Recipe, Step
from saccade.explain.capture import capture
from saccade.explain.pictures.characters import tinted
from saccade.explain.pictures.heads import Heads
from saccade.nets.continuation import WritingConfig, answered, likeliest, read_again
from saccade.nets.language_model import BLOCKS, LanguageModel, LanguageModelConfig, shards
from saccade.tasks.text import Batch, BytePieces, TextConfig, TextTask, Written
from saccade.tasks.text.objective import next_symbol
from saccade.tasks.text.outline import outline
from saccade.tasks.text.stream import Windows
from saccade.tasks.text.symbols import texts_of
from saccade.training.config import Adam, TrainingConfig

ADAM = Adam(beta2=0.99, weight_decay=0.1)
SHOWN = 64  # symbols whose heads are drawn
TINTED = 2000  # symbols that are tinted


@config
class Config:
    """A Transformer that predicts each next symbol of a text."""

    task: TextConfig = TextConfig(window=128, context=64)
    model: LanguageModelConfig = LanguageModelConfig(layers=4, dropout=0.0)
    training: TrainingConfig = TrainingConfig(
        steps=3325, batch_size=2048, learning_rate=2e-3, schedule="cosine", warmup=100, clip=1.0, optimizer=ADAM,
        validate_every=600,
    )  # fmt: skip
    writing: WritingConfig = WritingConfig()

    @model_validator(mode="after")
    def check_lengths(self) -> "Config":
        if self.task.corpus != "text":
            raise ValueError("--task.corpus must be text: its symbols are scored in bits, and levels are not")
        self.model.check_reads(self.task.window, self.task.context)
        return self


def task(config: Config, assets: Path | None) -> TextTask:
    return TextTask(config.task, assets, config.model.positions)


def build(config: Config, task: Any) -> LanguageModel:
    return LanguageModel(config.model, len(task.symbols.names))


def predict(model: Any, batch: Batch, config: Config) -> list[Written]:
    """The nats of the scored symbols, or, where none is scored, the text written on."""
    found = answered(model, batch.symbols, batch.mask, batch.scored, batch.numbers, config.writing)
    return [Written(*one) for one in found]


def shown_symbols(answer: Answer) -> list[int]:
    """The text as it was written on, or else the scored one."""
    symbols: list[int] = list(answer.prediction.symbols) or answer.example.symbols.tolist()
    return symbols


def first_written(answer: Answer) -> int:
    """The first symbol that the model predicted."""
    example = answer.example
    return len(example.symbols) - int(example.scored)


def pictures(answer: Answer) -> list[Picture]:
    """The text, tinted by the probability of each symbol; and the heads of each layer over the part where the model
    begins to write."""
    model: Any = answer.model
    symbols = shown_symbols(answer)
    own = torch.tensor(symbols[:TINTED], device=answer.device)
    chances = read_again(model, own).rewards(own[1:], -1).double().exp().clamp(max=1).tolist()
    last = min(len(symbols), max(SHOWN, first_written(answer) + SHOWN // 2))
    part = symbols[max(0, last - min(SHOWN, model.longest)) : last]
    names = answer.task.labels(part)
    with torch.no_grad(), capture(model, "stack.blocks.*.attention.weights") as seen:
        model(torch.tensor([part], device=answer.device))
    return [
        tinted(texts_of(answer.task.symbols, own.tolist()), [0.0, *chances]),
        Heads("heads", {name: (seen[name][0][0].float().cpu(), names, names) for name in seen}),
    ]


def steps(answer: Answer, count: int) -> list[Step]:
    """The symbols that were written, or scored, each with the likeliest ones in its place."""
    model: Any = answer.model
    names = [VISIBLE.get(name, name) for name in answer.task.symbols.names]
    symbols = torch.tensor(shown_symbols(answer), device=answer.device)
    return likeliest(model, symbols, first_written(answer), names, count)


VISIBLE = {"\n": "⏎", " ": "␣"}

TINY = Config(
    task=TextConfig(limit=99_000, window=32, context=16, validated=512),
    model=LanguageModelConfig(layers=2, model_size=24, heads=4, positions=32, dropout=0.0),
    training=TrainingConfig(
        steps=60, batch_size=512, learning_rate=1e-2, threads=1, validate_every=30, checkpoint_every=20, log_every=10
    ),
    writing=WritingConfig(length=40),
)


def published(layers: int, model_size: int, heads: int) -> Config:
    """A size of the paper, with 1,024 positions and 51,200 byte-level pieces."""
    return Config(
        task=TextConfig(symbols=BytePieces(size=51_200), window=1024, context=512),
        model=LanguageModelConfig(layers=layers, model_size=model_size, heads=heads, positions=1024),
        training=TrainingConfig(
            steps=300_000, batch_size=16_384, accumulate=32, learning_rate=1.5e-4, schedule="cosine", warmup=3000,
            clip=1.0, optimizer=Adam(weight_decay=0.01), validate_every=2000, checkpoint_every=2000,
        ),
    )  # fmt: skip


RECIPE = Recipe(
    paper=Paper(
        title="Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism",
        authors="Shoeybi et al.",
        year=2019,
        arxiv="1909.08053",
        target="its sizes, on tinyshakespeare",
        number="none on this text; a perplexity of 10.8 on WikiText-103 (8.3 billion weights)",
    ),
    task=task,
    build=build,
    objective=next_symbol,
    predict=predict,
    stream=lambda config, task, model: Windows(task, config.training.batch_size),
    pictures=pictures,
    steps=steps,
    shards=lambda config: shards(config.model, config.training.tensor),
    blocks=BLOCKS,
    outline=lambda config: outline(config.task),
    variants={
        "default": Config(),
        "tiny": TINY,
        "1.2b": published(40, 1536, 16),
        "2.5b": published(54, 1920, 20),
        "4.2b": published(64, 2304, 24),
        "8.3b": published(72, 3072, 32),
    },
    claims=(
        Claim(
            metric="bits_per_byte",
            direction="min",
            bound=2.45,
            variant="default",
            why="the same net as GPT-2's, so it must reach what that must reach",
        ),
    ),
)  # fmt: skip
