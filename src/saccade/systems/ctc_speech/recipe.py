"""The recipe of CTC on speech: what it is trained on, how, and what it must reach."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from saccade.attention.ctc import best_path, prefix_beam_search
from saccade.core.config import config
from saccade.core.recipe import Claim, Paper, Recipe, Show
from saccade.systems.ctc_speech.model import CTCSpeech, CTCSpeechConfig
from saccade.systems.ctc_speech.objective import objective
from saccade.tasks.speech import BLANK, SPEAKERS, Batch, SpeechConfig, SpeechTask
from saccade.training.config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path


@config
class Decoding:
    """How labels are read off."""

    method: Literal["best-path", "prefix-beam"] = "prefix-beam"
    """The likeliest symbol of each step, or the labels that are likeliest over all paths."""
    beam: Annotated[int, Field(ge=1, le=1000)] = 10
    """Prefixes kept, of prefix-beam."""


@config
class Config:
    """CTC on recordings."""

    task: SpeechConfig = SpeechConfig()
    model: CTCSpeechConfig = CTCSpeechConfig()
    training: TrainingConfig = TrainingConfig(
        steps=2500, batch_tokens=1600, learning_rate=2e-3, threads=1, schedule="linear", warmup=100, validate_every=250
    )
    decoding: Decoding = Decoding()


def task(config: Config, assets: "Path | None") -> SpeechTask:
    return SpeechTask(config.task, assets)


def build(config: Config, task: Any) -> CTCSpeech:
    return CTCSpeech(config.model, config.task.bins * config.task.stack, len(task.symbols))


def predict(model: Any, batch: Batch, config: Config) -> list[list[int]]:
    log_probs, lengths = model(batch.features, batch.mask), batch.lengths
    if config.decoding.method == "best-path":
        return best_path(log_probs, lengths, BLANK)
    return [
        prefix_beam_search(rows[:length], config.decoding.beam, BLANK)[0][0]
        for rows, length in zip(log_probs, lengths.tolist(), strict=True)
    ]


def without(speaker: str) -> Config:
    """A speaker whom the net has never heard is the test; half the updates of the default, since there are six."""
    default = Config()
    return replace(default, task=replace(default.task, speaker=speaker), training=replace(default.training, steps=1250))


TINY = Config(
    task=SpeechConfig(corpus="dialled", strings=300, fewest=1, most=3, bins=20, stack=2),
    model=CTCSpeechConfig(layers=1, hidden_size=16, dropout=0.0),
    training=TrainingConfig(
        steps=120, batch_tokens=600, learning_rate=2e-2, threads=1, validate_every=40, checkpoint_every=20, log_every=10
    ),
    decoding=Decoding(beam=3),
)

RECIPE = Recipe(
    paper=Paper(
        title="Connectionist Temporal Classification: Labelling Unsegmented Sequence Data "
        "with Recurrent Neural Networks",
        authors="Graves, Fernandez, Gomez & Schmidhuber",
        year=2006,
        arxiv="",
        doi="10.1145/1143844.1143891",
        target="table 1",
        number="30.51 % label error rate (TIMIT, prefix search)",
    ),
    task=task,
    build=build,
    predict=predict,
    objective=objective,
    variants={
        "default": Config(),
        **{f"row-without-{speaker}": without(speaker) for speaker in SPEAKERS},
        "tiny": TINY,
    },
    shows=(Show(tap="posteriors", picture="alignment", rows="symbol", columns="time (seconds)", values="probability"),),
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
