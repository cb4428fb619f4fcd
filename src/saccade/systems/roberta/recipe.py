"""The recipe of RoBERTa: full sentences, masks drawn anew, sizes, pictures and claims."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import model_validator

from saccade.core.config import config
from saccade.core.picture import Picture
from saccade.core.pretrained import Weights
from saccade.core.recipe import Answer, Claim, Paper, Recipe, Step
from saccade.core.task import Figure
from saccade.explain.answers import candidates, head_habits, heads
from saccade.nets.masked_language_model import MaskedLanguageModel, MaskedLanguageModelConfig, fill, likeliest
from saccade.tasks.masked import Batch, Filled, MaskedConfig, MaskedStream, MaskedTask
from saccade.tasks.masked.objective import masked_symbols
from saccade.tasks.masked.outline import outline
from saccade.tasks.text import BytePieces
from saccade.training.config import Adam, TrainingConfig

TAPS = "encoder.stack.blocks.*.attention.weights"
ADAM = Adam(weight_decay=0.01)
UNUSED = 2  # rows of the published position tables before the first position
SURVEYED = 8  # test examples over which the habits of heads are averaged


def full_sentences(pieces: int, length: int) -> MaskedConfig:
    """Lines filled to this length, with masks that are drawn anew, in at most `pieces` byte-level pieces."""
    return MaskedConfig(
        symbols=BytePieces(size=pieces), examples="full-sentences", length=length, duplicates=None
    )  # fmt: skip


@config
class Config:
    """A Transformer that fills in the masked symbols of a text."""

    task: MaskedConfig = full_sentences(300, 32)
    model: MaskedLanguageModelConfig = MaskedLanguageModelConfig(layers=3, positions=32, dropout=0.0)
    training: TrainingConfig = TrainingConfig(
        steps=12_000, batch_size=2048, learning_rate=1.2e-3, schedule="linear", warmup=300, optimizer=ADAM, keep="best",
    )  # fmt: skip
    weights: Weights | None = None
    """Weights to start from, with their sizes and pieces: a run, or a folder with a checkpoint of Hugging Face."""

    @model_validator(mode="after")
    def check_choices(self) -> "Config":
        if self.task.examples != "full-sentences":
            raise ValueError(f"--task.examples is {self.task.examples}; this model reads full-sentences")
        if self.task.early_length is not None:
            raise ValueError("--task.early-length is of bert; this model reads examples of one length")
        if self.task.length > self.model.positions:
            raise ValueError(
                f"--task.length {self.task.length} is more than the model reads; type --model.positions "
                f"{self.task.length} or a smaller --task.length"
            )
        return self


def task(config: Config, assets: Path | None) -> MaskedTask:
    return MaskedTask(config.task, assets, config.model.positions)


def build(config: Config, task: Any) -> MaskedLanguageModel:
    return MaskedLanguageModel(config.model, len(task.symbols.names), pairs=False, unused=UNUSED, epsilon=1e-5)


def stream(config: Config, task: Any, model: Any) -> MaskedStream:
    training = config.training
    return MaskedStream(task, batch_size=training.batch_size, window=training.window, seed=training.seed)


def predict(model: Any, batch: Batch, config: Config) -> list[Filled]:
    """The most probable symbol in each chosen place."""
    found = fill(model, batch.inputs, batch.mask, batch.segments, batch.chosen, batch.symbols)
    rows = zip(found.symbols, batch.mask, found.nats.tolist(), strict=True)
    return [Filled(tuple(row[real].tolist()), round(nats, 4), None) for row, real, nats in rows]


def steps(answer: Answer, count: int) -> list[Step]:
    """The chosen places, each with the likeliest symbols."""
    model: Any = answer.model
    found, names = answer.task.masked(answer.example), answer.task.symbols.names
    inputs, segments, chosen = (x.to(answer.device) for x in (found.inputs, answer.example.segments, found.chosen))
    return likeliest(model, inputs, segments, chosen, names, count)


def pictures(answer: Answer) -> list[Picture]:
    """The likeliest symbols in each place; the heads over the text; and what each head does, in the first test examples
    or in the text that was typed."""
    every = heads(answer, masked_symbols, [(TAPS, "symbols", "symbols", "", "attention weight")])
    examples = answer.task.examples("test")[:SURVEYED] if answer.example.key else ()
    habits = head_habits(answer, masked_symbols, TAPS, "symbols", examples)
    return [picture for picture in (candidates(steps(answer, 8)), every, habits) if picture is not None]


def measures(answer: Answer) -> dict[str, Figure]:
    """What the heads attend to, averaged over all of them."""
    found = head_habits(answer, masked_symbols, TAPS, "symbols")
    return {} if found is None else found.figures


TINY = Config(
    task=replace(full_sentences(300, 32), limit=99_000),
    model=MaskedLanguageModelConfig(layers=2, model_size=24, heads=3, positions=32, dropout=0.0),
    training=TrainingConfig(
        steps=60, batch_size=512, learning_rate=1e-2, threads=1, validate_every=30, checkpoint_every=20, log_every=10,
        warmup=10,
    ),
)  # fmt: skip


def published(layers: int, model_size: int, heads: int, learning_rate: float, warmup: int) -> Config:
    """A size of the paper, with 512 positions and 50,265 symbols, four of them special; batches of 8,192 texts."""
    return Config(
        task=full_sentences(50_261, 512),
        model=MaskedLanguageModelConfig(layers=layers, model_size=model_size, heads=heads, positions=512),
        training=TrainingConfig(
            steps=500_000, batch_size=32_768, accumulate=128, learning_rate=learning_rate, warmup=warmup, clip=None,
            optimizer=replace(ADAM, beta2=0.98, epsilon=1e-6), validate_every=1000, checkpoint_every=1000,
        ),
    )  # fmt: skip


RECIPE = Recipe(
    paper=Paper(
        title="RoBERTa: A Robustly Optimized BERT Pretraining Approach",
        authors="Liu et al.",
        year=2019,
        arxiv="1907.11692",
        target="sections 3 and 4 (sizes and objective), on tinyshakespeare",
        number="none on this text; GLUE 88.5 (ensemble)",
    ),
    task=task,
    build=build,
    objective=masked_symbols,
    predict=predict,
    stream=stream,
    pictures=pictures,
    measures=measures,
    steps=steps,
    outline=lambda config: outline(config.task),
    variants={
        "default": Config(),
        "tiny": TINY,
        "base": published(12, 768, 12, 6e-4, 24_000),
        "large": published(24, 1024, 16, 4e-4, 30_000),
    },
    claims=(
        Claim(
            metric="above_counts",
            direction="max",
            bound=0.0,
            variant="default",
            why="twenty minutes of two cores; counts that know both neighbours, over the same masks",
        ),
    ),
)
