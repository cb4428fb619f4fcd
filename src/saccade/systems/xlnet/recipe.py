"""The recipe of XLNet: text, orders, sizes and pictures."""

from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, model_validator

from saccade.core.config import Seed, config
from saccade.core.pretrained import Weights
from saccade.core.recipe import Loss, Paper, Part, Recipe
from saccade.nets.continuation import WritingConfig, answered
from saccade.systems.xlnet.model import XLNet, XLNetConfig
from saccade.systems.xlnet.orders import Order
from saccade.systems.xlnet.pictures import pictures, steps
from saccade.systems.xlnet.stream import OrderedBatch, OrderedWindows
from saccade.tasks.text import Batch, BytePieces, TextConfig, TextTask, Written
from saccade.tasks.text.objective import NOT_SCORED, next_symbol
from saccade.tasks.text.outline import without_batches
from saccade.training.config import Adam, TrainingConfig

ORDERED = 8  # symbols of a drawn order whose masks are drawn


@config
class OrderConfig:
    """The orders in which a window is predicted in training, and one to look at."""

    partial: Annotated[int, Field(ge=1, le=10_000)] = 1
    """K: only the last 1/K of an order is predicted (6 in the paper); 1: every symbol is."""
    block: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Draw the order within blocks of this many symbols, which follow each other from left to right, as in the authors'
    code; none: within the whole window. 1 is the order of the text."""
    shown: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=32)] = ()
    """The order whose masks are drawn, of the first symbols of the text, such as 3 2 4 1: the third comes first; none:
    one from shown_seed."""
    shown_seed: Seed = 1
    """Seed of the order whose masks are drawn."""

    @model_validator(mode="after")
    def check_order(self) -> "OrderConfig":
        if sorted(self.shown) != list(range(1, len(self.shown) + 1)):
            said = " ".join(map(str, self.shown))
            raise ValueError(f"an order has each number from 1 to its length once, such as 3 2 4 1, not {said}")
        return self

    @property
    def positions(self) -> list[int]:
        """The positions in their turn, from 0."""
        if self.shown:
            return [place - 1 for place in self.shown]
        generator = torch.Generator().manual_seed(self.shown_seed)
        return torch.randperm(ORDERED, generator=generator).tolist()


@config
class Config:
    """A Transformer that learns to predict the symbols of a text in every order."""

    task: TextConfig = TextConfig(window=64, context=64)
    model: XLNetConfig = XLNetConfig(layers=4, dropout=0.0)
    training: TrainingConfig = TrainingConfig(
        steps=1500, batch_size=2048, learning_rate=1.5e-3, schedule="cosine", warmup=200, clip=1.0,
        optimizer=Adam(beta2=0.99, weight_decay=0.1), validate_every=500,
    )  # fmt: skip
    writing: WritingConfig = WritingConfig()
    order: OrderConfig = OrderConfig()
    weights: Weights | None = None
    """Weights to start from, with their sizes and pieces: a run, or a folder with a checkpoint of Hugging Face."""

    @model_validator(mode="after")
    def check_lengths(self) -> "Config":
        window, memory, context = self.task.window, self.model.memory, self.task.context
        block, partial = self.order.block or window, self.order.partial
        if self.task.corpus != "text":
            raise ValueError("--task.corpus must be text: its symbols are scored in bits, and levels are not")
        if 2 * context > window + memory:
            raise ValueError(
                f"the model learns distances within --task.window {window} and --model.memory {memory}, but "
                f"--task.context {context} reads {2 * context} symbols at once; type --task.context "
                f"{(window + memory) // 2} or less"
            )
        if window % block:
            raise ValueError(f"--order.block {block} does not divide --task.window {window}; choose a divisor")
        if partial > block:
            raise ValueError(
                f"--order.partial {partial} is more than the {block} symbols of an order; type --order.partial {block} "
                "or less"
            )
        return self


def task(config: Config, assets: Path | None) -> TextTask:
    return TextTask(config.task, assets, config.task.window + config.model.memory)


def build(config: Config, task: Any) -> XLNet:
    return XLNet(config.model, len(task.symbols.names), config.task.window + config.model.memory)


def stream(config: Config, task: Any, model: Any) -> OrderedWindows:
    training, order = config.training, config.order
    return OrderedWindows(task, training.batch_size, training.seed, order.partial, order.block)


def objective(model: Any, batch: Batch | OrderedBatch, step: int) -> Loss:
    """The cross-entropy of the predicted symbols in a random order, with a memory of the window before; in validation,
    of each next symbol."""
    if not model.training or not isinstance(batch, OrderedBatch):
        return next_symbol(model, Batch(*batch[:5]), step)
    symbols, order = batch.symbols[:, 1:], Order(batch.ranks, batch.targets)
    streams, memory = model.permuted(symbols, order, batch.state, batch.mask[:, 1:])
    targets = symbols.masked_fill(~batch.scored[:, 1:], NOT_SCORED)
    if order.targets is not None:
        targets = targets.gather(1, order.targets)
    nats = model.project(streams.query).cross_entropy(targets, NOT_SCORED)
    return Loss({"nats": Part(nats, (targets != NOT_SCORED).sum())}, carry=memory if model.config.memory else None)


def predict(model: Any, batch: Batch, config: Config) -> list[Written]:
    """The nats of the scored symbols, or, where none is scored, the text written on; both from left to right."""
    return [Written(*found) for found in answered(model, *batch[:4], config.writing)]


TINY = Config(
    task=TextConfig(limit=99_000, window=16, context=16, validated=512),
    model=XLNetConfig(layers=2, model_size=24, heads=3, memory=16, dropout=0.0),
    training=TrainingConfig(
        steps=60, batch_size=512, learning_rate=1e-2, threads=1, validate_every=30, checkpoint_every=20, log_every=10
    ),
    writing=WritingConfig(length=40),
    order=OrderConfig(partial=2),
)


def published(layers: int, model_size: int, heads: int) -> Config:
    """A size of the paper, its appendix A.4.1, with the memory of the authors' code and 32,000 pieces."""
    return Config(
        task=TextConfig(symbols=BytePieces(size=32_000), window=512, context=256),
        model=XLNetConfig(
            layers=layers, model_size=model_size, heads=heads, memory=384, segments=True, attention_dropout=0.1
        ),
        order=OrderConfig(partial=6),
        training=TrainingConfig(
            steps=500_000, batch_size=32_768, accumulate=128, learning_rate=4e-4, schedule="linear", warmup=40_000,
            optimizer=Adam(epsilon=1e-6, weight_decay=0.01), validate_every=5000, checkpoint_every=5000,
        ),
    )  # fmt: skip


RECIPE = Recipe(
    paper=Paper(
        title="XLNet: Generalized Autoregressive Pretraining for Language Understanding",
        authors="Yang et al.",
        year=2019,
        arxiv="1906.08237",
        target="sizes of the appendix, on tinyshakespeare",
        number="none on this text: the paper measures what a classifier makes of its features",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    stream=stream,
    pictures=pictures,
    steps=steps,
    outline=lambda config: without_batches(config.task),
    variants={
        "default": Config(),
        "tiny": TINY,
        "base": published(12, 768, 12),
        "large": published(24, 1024, 16),
    },
)
