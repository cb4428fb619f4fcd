"""The recipe of CTC on speech: data, variants, pictures and claims."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from saccade.attention.ctc import best_path, prefix_beam_search
from saccade.core.config import NAMED, config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Paper, Recipe
from saccade.explain import answers as shown
from saccade.explain.pictures.sound import Sound
from saccade.systems.ctc_speech.model import CTCSpeech, CTCSpeechConfig
from saccade.systems.ctc_speech.objective import objective
from saccade.tasks.speech import BLANK, SPEAKERS, Batch, SpeechConfig, SpeechTask
from saccade.tasks.speech.audio import FRAME_SHIFT
from saccade.tasks.speech.stream import by_frames
from saccade.training.config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path


@config
class BestPath:
    """The most probable symbol of each step, with repetitions and blanks removed."""

    name: Literal["best-path"] = "best-path"


@config
class PrefixBeam:
    """A search for the labelling with the largest probability over all paths."""

    name: Literal["prefix-beam"] = "prefix-beam"
    beam: Annotated[int, Field(ge=1, le=1000)] = 10
    """Prefixes kept."""


@config
class Config:
    """CTC on recordings."""

    task: SpeechConfig = SpeechConfig()
    model: CTCSpeechConfig = CTCSpeechConfig()
    training: TrainingConfig = TrainingConfig(
        steps=2500, batch_size=1600, learning_rate=2e-3, threads=1, schedule="linear", warmup=100, validate_every=250
    )
    decoding: Annotated[BestPath | PrefixBeam, Field(discriminator="name"), NAMED] = PrefixBeam()
    """How labels are decoded."""


def task(config: Config, assets: "Path | None") -> SpeechTask:
    return SpeechTask(config.task, assets)


def build(config: Config, task: Any) -> CTCSpeech:
    return CTCSpeech(config.model, config.task.bins * config.task.stack, len(task.symbols))


def predict(model: Any, batch: Batch, config: Config) -> list[list[int]]:
    log_probs, lengths = model(batch.features, batch.mask), batch.lengths
    if isinstance(config.decoding, BestPath):
        return best_path(log_probs, lengths, BLANK)
    return [
        prefix_beam_search(rows[:length], config.decoding.beam, BLANK)[0][0]
        for rows, length in zip(log_probs, lengths.tolist(), strict=True)
    ]


def pictures(answer: Answer) -> list[Picture]:
    look = shown.alignment(answer, objective, "posteriors", "symbol", "time (seconds)")
    if look is None:
        return []
    task = answer.task
    return [Sound(
        "sound", look.weights, look.rows, task.step_seconds, features=task.frames(answer.example), frame=FRAME_SHIFT,
        rows_label="symbol", values="probability",
    )]  # fmt: skip


def without(speaker: str) -> Config:
    """Hold a speaker out of training for the test; half the updates of the default, since there are six such runs."""
    default = Config()
    return replace(default, task=replace(default.task, speaker=speaker), training=replace(default.training, steps=1250))


TINY = Config(
    task=SpeechConfig(corpus="dialled", strings=300, fewest=1, most=3, bins=20, stack=2),
    model=CTCSpeechConfig(layers=1, hidden_size=16, dropout=0.0),
    training=TrainingConfig(
        steps=120, batch_size=600, learning_rate=2e-2, threads=1, validate_every=40, checkpoint_every=20, log_every=10
    ),
    decoding=PrefixBeam(beam=3),
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
    stream=by_frames,
    pictures=pictures,
    variants={
        "default": Config(),
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
