"""The recipe of attention on speech: what it is trained on, how, and what it must reach."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from saccade.core.config import config
from saccade.core.recipe import Claim, Paper, Recipe, Show
from saccade.nets.attention_choice import LocationAware
from saccade.nets.search import SearchConfig, Symbols, answers
from saccade.systems.attention_speech.model import AttentionSpeech, AttentionSpeechConfig
from saccade.systems.attention_speech.objective import objective
from saccade.tasks.speech import END, SPEAKERS, START, Batch, SpeechConfig, SpeechTask
from saccade.training.config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path


@config
class Config:
    """Attention on recordings."""

    task: SpeechConfig = SpeechConfig(stack=4)
    model: AttentionSpeechConfig = AttentionSpeechConfig(
        attention="location-aware", embedding_size=32, hidden_size=128, attention_size=128, readout_size=64
    )
    training: TrainingConfig = TrainingConfig(
        steps=3000, batch_tokens=2000, learning_rate=1e-3, threads=1, schedule="linear", warmup=200, validate_every=300
    )
    search: SearchConfig = SearchConfig(beam=5, length_penalty=0.0)


def task(config: Config, assets: "Path | None") -> SpeechTask:
    return SpeechTask(config.task, assets)


def build(config: Config, task: Any) -> AttentionSpeech:
    return AttentionSpeech(config.model, config.task.bins * config.task.stack, len(task.symbols))


def predict(model: Any, batch: Batch, config: Config) -> list[list[int]]:
    encoded = model.encode(batch.features, batch.mask)
    limits = batch.lengths + 10  # nobody says more than a label a step
    return answers(model, encoded, limits, Symbols(START, END), config.search, config.training.seed)


def row(**options: Any) -> Config:
    """A row of the comparison: the default with another attention."""
    default = Config()
    return replace(default, model=replace(default.model, **options))


def without(speaker: str) -> Config:
    """A speaker whom the net has never heard is the test; half the updates of the default, since there are six."""
    default = Config()
    return replace(default, task=replace(default.task, speaker=speaker), training=replace(default.training, steps=1500))


TINY = Config(
    task=SpeechConfig(corpus="dialled", strings=300, fewest=1, most=3, bins=20, stack=3),
    model=AttentionSpeechConfig(
        attention="location-aware", layers=1, encoder_size=16, embedding_size=8, hidden_size=16, attention_size=16,
        readout_size=16, dropout=0.0,
    ),
    training=TrainingConfig(
        steps=150, batch_tokens=600, learning_rate=1e-2, threads=1, validate_every=50, checkpoint_every=20, log_every=10
    ),
    search=SearchConfig(beam=2, length_penalty=0.0),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Attention-Based Models for Speech Recognition",
        authors="Chorowski, Bahdanau, Serdyuk, Cho & Bengio",
        year=2015,
        arxiv="1506.07503",
        target="table 1",
        number="18.0 % phoneme error rate (TIMIT, content and location; 17.6 smoothed)",
    ),
    task=task,
    build=build,
    predict=predict,
    objective=objective,
    variants={
        "default": Config(),
        "row-content": row(attention="additive"),
        "row-location": row(location_aware=LocationAware(content=False)),
        "row-gaussian-window": row(attention="gaussian-window"),
        **{f"row-without-{speaker}": without(speaker) for speaker in SPEAKERS},
        "tiny": TINY,
    },
    shows=(
        Show(tap="decoder.recurrent.attention.weights", picture="alignment", rows="label", columns="time (seconds)"),
    ),
    claims=(
        Claim(
            metric="label_error_rate",
            direction="min",
            bound=2.0,
            split="test",
            variant="default",
            why="ten words of six known speakers, clearly spoken: more errors than that are the net's",
        ),
    ),
)
