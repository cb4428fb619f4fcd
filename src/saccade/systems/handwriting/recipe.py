"""The recipe of the handwriting networks: data, variants, pictures and claims."""

from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from saccade.core.config import Seed, config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Paper, Recipe
from saccade.explain import answers as shown
from saccade.explain.pictures.strokes import Strokes
from saccade.systems.handwriting.model import Handwriting, HandwritingConfig, Prediction
from saccade.systems.handwriting.writing import write
from saccade.tasks.pen import Batch, PenConfig, PenTask, Written
from saccade.tasks.pen.objective import negative_log_density
from saccade.training.config import TrainingConfig


@config
class Sampling:
    """The sampling of points."""

    seed: Seed = 1
    """Seed of the random draws; another seed writes the same text differently."""
    most: Annotated[int, Field(ge=1, le=1000)] = 25
    """Largest number of steps per character, if the text does not end before."""


@config
class Config:
    """Handwriting."""

    bias: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Bias towards probable points: 0 draws from the model, 1 writes neatly, larger values more and more uniformly."""
    task: PenConfig = PenConfig()
    model: HandwritingConfig = HandwritingConfig()
    training: TrainingConfig = TrainingConfig(
        steps=1600, batch_size=4000, learning_rate=3e-3, threads=1, schedule="linear", warmup=100, clip=1.0,
        validate_every=200,
    )  # fmt: skip
    sampling: Sampling = Sampling()


def task(config: Config, assets: Path | None) -> PenTask:
    return PenTask(config.task, assets)


def build(config: Config, task: Any) -> Handwriting:
    return Handwriting(config.model, len(task.alphabet))


@torch.no_grad()
def predict(model: Any, batch: Batch, config: Config) -> list[Written]:
    """The points that the model writes for each text, and the density of the batch's own points."""
    nats = [float("nan")] * len(batch.lengths)
    if batch.targets.shape[1]:
        densities = model(batch).log_density(batch.targets).masked_fill(~batch.mask, 0.0)
        nats = [round(-float(total), 4) for total in densities.double().sum(1)]
    traces = write(model, batch, config.bias, config.sampling.most, config.sampling.seed)
    return [
        Written(tuple(text[:length]), tuple(trace.points), tuple(trace.weights), begins, trace.ended, total)
        for text, length, trace, begins, total in zip(
            batch.asked.tolist(), batch.asked_lengths.tolist(), traces, batch.begins.tolist(), nats, strict=True
        )
    ]


def pictures(answer: Answer) -> list[Picture]:
    """The strokes of the pen, and the path of the window along the text; none for an empty answer."""
    places = answer.task.places_of(answer.prediction)
    if not len(places):
        return []
    unit = "x-heights" if answer.task.config.corpus == "letters" else ""
    found = (
        Strokes("pen", places, unit),
        shown.alignment(
            answer, negative_log_density, "path", "character", "point", name="window", title="Window",
            values="window weight",
        ),
    )  # fmt: skip
    return [picture for picture in found if picture is not None]


TINY = Config(
    task=PenConfig(lines=400, fewest=1, most=3),
    model=HandwritingConfig(hidden_size=24, components=5),
    training=TrainingConfig(
        steps=120, batch_size=400, learning_rate=2e-2, threads=1, validate_every=40, checkpoint_every=20, log_every=10
    ),
)
# the sizes of the paper, for IAM-OnDB; --task.folder is required
PAPER = Config(
    task=PenConfig(corpus="iam", folder=Path("IAM-OnDB")),
    model=HandwritingConfig(hidden_size=400),
    training=TrainingConfig(
        steps=60000, batch_size=20000, learning_rate=1e-4, schedule="constant", clip=10.0, validate_every=1000,
        keep="best",
    ),
    sampling=Sampling(most=60),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Generating Sequences With Recurrent Neural Networks",
        authors="Graves",
        year=2013,
        arxiv="1308.0850",
        target="tables 3 and 4",
        number="-1096.9 nats per line, synthesis; -1041.0, prediction with 3 layers (IAM-OnDB)",
    ),
    task=task,
    build=build,
    objective=negative_log_density,
    predict=predict,
    pictures=pictures,
    variants={
        "default": Config(),
        "tiny": TINY,
        "prediction": Config(model=HandwritingConfig(network=Prediction())),
        "paper": PAPER,
    },
    claims=(
        Claim(
            metric="gain",
            direction="max",
            bound=2.0,
            variant="default",
            why="knowing the text and the strokes so far must predict far better than a mixture without memory",
        ),
        Claim(
            metric="read",
            direction="max",
            bound=80.0,
            variant="default",
            why="four of five letters, cut out where the window was, are read as the letters of the text",
        ),
    ),
)
