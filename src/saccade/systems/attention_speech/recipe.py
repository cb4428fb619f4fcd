"""The recipe of attention on speech: data, variants, pictures and claims."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from saccade.core.config import config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain import answers as shown
from saccade.explain.pictures.sound import Sound
from saccade.nets.attention_choice import Additive, Attention, GaussianWindow, LocationAware
from saccade.nets.search import SearchConfig, Symbols, answers
from saccade.systems.attention_speech.model import AttentionSpeech, AttentionSpeechConfig
from saccade.systems.attention_speech.objective import objective
from saccade.tasks.speech import END, SPEAKERS, START, Batch, SpeechConfig, SpeechTask
from saccade.tasks.speech.audio import FRAME_SHIFT
from saccade.tasks.speech.stream import by_frames
from saccade.training.config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path


@config
class Config:
    """Attention on recordings."""

    task: SpeechConfig = SpeechConfig(stack=4)
    model: AttentionSpeechConfig = AttentionSpeechConfig(
        attention=LocationAware(attention_size=128), embedding_size=32, hidden_size=128, readout_size=64
    )
    training: TrainingConfig = TrainingConfig(
        steps=3000, batch_size=2000, learning_rate=1e-3, threads=1, schedule="linear", warmup=200, validate_every=300
    )
    search: SearchConfig = SearchConfig(beam=5, length_penalty=0.0)


def task(config: Config, assets: "Path | None") -> SpeechTask:
    return SpeechTask(config.task, assets)


def build(config: Config, task: Any) -> AttentionSpeech:
    return AttentionSpeech(config.model, config.task.bins * config.task.stack, len(task.symbols))


def predict(model: Any, batch: Batch, config: Config) -> list[list[int]]:
    encoded = model.encode(batch.features, batch.mask)
    limits = batch.lengths + 10  # at most one label for each step
    return answers(model, encoded, limits, Symbols(START, END), config.search, config.training.seed)


LOOKS = ("decoder.recurrent.attention.weights", "label", "time (seconds)")


def pictures(answer: Answer) -> list[Picture]:
    look, task = shown.alignment(answer, objective, *LOOKS), answer.task
    if look is None:
        return []
    return [Sound(
        "sound", look.weights, look.rows, task.step_seconds, features=task.frames(answer.example), frame=FRAME_SHIFT,
        rows_label="label",
    )]  # fmt: skip


def measures(answer: Answer) -> dict[str, Figure]:
    """The entropy of the attention and, given the right answer, the share of largest weights at the right place."""
    look = shown.alignment(answer, objective, *LOOKS)
    found = {} if look is None else {"attention_entropy": shown.entropy(look)}
    given = shown.alignment(answer._replace(prediction=answer.example.target), objective, *LOOKS)
    right = [] if given is None else answer.task.aligned(answer.example, torch.as_tensor(given.weights))
    if right:
        found["aligned"] = Figure(100 * sum(right) / len(right), "%", "looks at the right place", len(right))
    return found


def row(attention: Attention) -> Config:
    """A row of the comparison: the default configuration with another attention."""
    default = Config()
    return replace(default, model=replace(default.model, attention=attention))


def without(speaker: str) -> Config:
    """Hold a speaker out of training for the test; half the updates of the default, since there are six such runs."""
    default = Config()
    return replace(default, task=replace(default.task, speaker=speaker), training=replace(default.training, steps=1500))


TINY = Config(
    task=SpeechConfig(corpus="dialled", strings=300, fewest=1, most=3, bins=20, stack=3),
    model=AttentionSpeechConfig(
        attention=LocationAware(attention_size=16), layers=1, encoder_size=16, embedding_size=8, hidden_size=16,
        readout_size=16, dropout=0.0,
    ),
    training=TrainingConfig(
        steps=150, batch_size=600, learning_rate=1e-2, threads=1, validate_every=50, checkpoint_every=20, log_every=10
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
    stream=by_frames,
    pictures=pictures,
    measures=measures,
    variants={
        "default": Config(),
        "row-content": row(Additive(attention_size=128)),
        "row-location": row(LocationAware(attention_size=128, content=False)),
        "row-gaussian-window": row(GaussianWindow()),
        **{f"row-without-{speaker}": without(speaker) for speaker in SPEAKERS},
        "tiny": TINY,
    },
    claims=(
        Claim(
            metric="label_error_rate",
            direction="min",
            bound=2.0,
            variant="default",
            why="ten words, clearly spoken by six speakers of the training set: the network should err less often",
        ),
    ),
)
