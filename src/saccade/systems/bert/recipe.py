"""The recipe of BERT: pairs of segments, static masks, sizes, pictures and claims."""

from functools import partial
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
from saccade.tasks.masked import Batch, Filled, LengthenedStream, MaskedConfig, MaskedStream, MaskedTask
from saccade.tasks.masked.objective import masked_symbols
from saccade.tasks.masked.outline import outline
from saccade.tasks.text import WordPieces
from saccade.training.config import Adam, TrainingConfig

TAPS = "encoder.stack.blocks.*.attention.weights"
ADAM = Adam(weight_decay=0.01)
SURVEYED = 8  # test examples over which the habits of heads are averaged


@config
class Config:
    """A Transformer that fills in the masked symbols of two segments, and says whether the second follows the first."""

    task: MaskedConfig = MaskedConfig(
        symbols=WordPieces(size=300), length=64, early_length=24, early_share=0.5, duplicates=10
    )
    model: MaskedLanguageModelConfig = MaskedLanguageModelConfig(layers=3, positions=64, dropout=0.0)
    training: TrainingConfig = TrainingConfig(
        steps=12_000, batch_size=2048, learning_rate=1.2e-3, schedule="linear", warmup=300, optimizer=ADAM, keep="best",
    )  # fmt: skip
    weights: Weights | None = None
    """Weights to start from, with their sizes and pieces: a run, or a folder with a checkpoint of Hugging Face."""

    @model_validator(mode="after")
    def check_choices(self) -> "Config":
        if self.task.examples != "pairs":
            raise ValueError(f"--task.examples is {self.task.examples}; this model reads pairs")
        if self.task.length > self.model.positions:
            raise ValueError(
                f"--task.length {self.task.length} is more than the model reads; type --model.positions "
                f"{self.task.length} or a smaller --task.length"
            )
        return self


def task(config: Config, assets: Path | None) -> MaskedTask:
    return MaskedTask(config.task, assets, config.model.positions)


def build(config: Config, task: Any) -> MaskedLanguageModel:
    return MaskedLanguageModel(config.model, len(task.symbols.names), pairs=True)


def stream(config: Config, task: Any, model: Any) -> MaskedStream | LengthenedStream:
    """Short examples in the first part of the training, if the task has them."""
    training, early = config.training, config.task.early_length
    make = partial(MaskedStream, batch_size=training.batch_size, window=training.window, seed=training.seed)
    if early is None:
        return make(task)
    return LengthenedStream(
        make(task.shortened(early)), make(task), round(config.task.early_share * training.steps) * training.accumulate
    )


def predict(model: Any, batch: Batch, config: Config) -> list[Filled]:
    """The most probable symbol in each chosen place, and whether the second segment follows."""
    found = fill(model, batch.inputs, batch.mask, batch.segments, batch.chosen, batch.symbols)
    rows = zip(found.symbols, batch.mask, found.nats.tolist(), found.follows.tolist(), strict=True)  # type: ignore[union-attr]
    return [Filled(tuple(row[real].tolist()), round(nats, 4), round(follows, 6)) for row, real, nats, follows in rows]


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
    task=MaskedConfig(limit=99_000, symbols=WordPieces(size=300), length=32),
    model=MaskedLanguageModelConfig(layers=2, model_size=24, heads=3, positions=32, dropout=0.0),
    training=TrainingConfig(
        steps=60, batch_size=512, learning_rate=1e-2, threads=1, validate_every=30, checkpoint_every=20, log_every=10,
        warmup=10,
    ),
)  # fmt: skip


def published(layers: int, model_size: int, heads: int) -> Config:
    """A size of the paper, with 512 positions and 30,522 WordPieces."""
    return Config(
        task=MaskedConfig(symbols=WordPieces(size=30_522), length=512, early_length=128, duplicates=10),
        model=MaskedLanguageModelConfig(layers=layers, model_size=model_size, heads=heads, positions=512),
        training=TrainingConfig(
            steps=1_000_000, batch_size=16_384, accumulate=8, learning_rate=1e-4, warmup=10_000, optimizer=ADAM,
            validate_every=5000, checkpoint_every=5000,
        ),
    )  # fmt: skip


RECIPE = Recipe(
    paper=Paper(
        title="BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
        authors="Devlin et al.",
        year=2019,
        arxiv="1810.04805",
        target="section 3 (sizes and objectives), on tinyshakespeare",
        number="none on this text; GLUE 79.6 (base) and 82.1 (large)",
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
        "base": published(12, 768, 12),
        "large": published(24, 1024, 16),
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
