"""The recipe of Show and Tell, with LRCN as a variant: scenes and photos."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from saccade.core.config import config
from saccade.core.device import to_device
from saccade.core.recipe import Answer, Loss, Paper, Part, Recipe, Step
from saccade.nets.captioning import answers, limits_of
from saccade.nets.image_encoder import Convolutional, EfficientNet, Stored
from saccade.nets.nearest_caption import NearestCaption, nearest_of
from saccade.nets.search import SearchConfig, Symbols
from saccade.nets.written import written
from saccade.systems.show_and_tell.model import ShowAndTell, ShowAndTellConfig
from saccade.tasks.captions import Batch, CaptionsConfig, CaptionsTask, Said
from saccade.tasks.captions.batch import counted, targets_of
from saccade.tasks.captions.config import check_texts_first
from saccade.tasks.captions.stream import CaptionStream
from saccade.tasks.captions.words import END, PAD, START, UNKNOWN
from saccade.training.config import SGD, TrainingConfig

SYMBOLS = Symbols(START, END, never=(PAD, UNKNOWN, START))


def training(steps: int) -> TrainingConfig:
    return TrainingConfig(
        steps=steps, batch_size=64, learning_rate=3e-3, warmup=100, threads=1, validate_every=1000,
        checkpoint_every=1000, log_every=100,
    )  # fmt: skip


SCENES = ShowAndTellConfig(
    encoder=Convolutional(channels=(16, 32, 64)), embedding_size=64, hidden_size=192, dropout=0.1
)


@config
class Config:
    """Captions from one vector of an image."""

    task: CaptionsConfig = CaptionsConfig()
    model: ShowAndTellConfig = SCENES
    training: TrainingConfig = training(6000)
    search: SearchConfig = SearchConfig(length_penalty=0.0)
    texts_first: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """The first steps of the training, which read captions without images (`--task.texts`), if there are any."""

    @model_validator(mode="after")
    def check_texts_first(self) -> "Config":
        check_texts_first(self)
        return self


def task(config: Config, assets: Path | None) -> CaptionsTask:
    return CaptionsTask(config.task, assets)


def build(config: Config, task: Any) -> ShowAndTell:
    model = ShowAndTell(config.model, len(task.words))
    if isinstance(config.model.encoder, EfficientNet | Stored):
        model.nearest = NearestCaption(task.known)
    return model


def loss(model: Any, batch: Batch, step: int) -> Loss:
    """Nats a word, ends included."""
    targets = targets_of(batch.tokens)
    return Loss({"nats": Part(model(batch).cross_entropy(targets, PAD), (targets != PAD).sum())})


def predict(model: Any, batch: Batch, config: Config) -> list[Said]:
    """The best captions of each image, the greedy one, and what the model gives to the image's own captions."""
    found = answers(
        model, model.encode(batch), limits_of(batch.tokens, config.task.longest), batch.references,
        counted(batch.references), SYMBOLS, config.search, config.training.seed,
    )  # fmt: skip
    near = nearest_of(model.nearest, model.encoder, batch)
    return [Said(*one)._replace(nearest=own) for one, own in zip(found, near, strict=True)]


def steps(answer: Answer, count: int) -> list[Step]:
    """The likeliest words at each step of a caption."""
    model: Any = answer.model
    encoded = model.encode(to_device(answer.task.collate([answer.example]), answer.device))
    words, limit = answer.task.words, answer.config.task.longest + 1
    return written(
        model, encoded, answer.prediction.symbols, SYMBOLS, lambda own: [words[one] for one in own], count, limit
    )


def stream(config: Config, task: Any, model: Any) -> CaptionStream:
    options = config.training
    return CaptionStream(
        task, batch_size=options.batch_size, window=options.window, seed=options.seed, alone=config.texts_first
    )


TINY = Config(
    task=CaptionsConfig(scenes=60, judged=12, size=32),
    model=ShowAndTellConfig(
        encoder=Convolutional(channels=(8, 16), further=1), embedding_size=16, hidden_size=24, dropout=0.1
    ),
    training=TrainingConfig(
        steps=60, batch_size=30, learning_rate=1e-2, threads=1, validate_every=20, checkpoint_every=20, log_every=5
    ),
    search=SearchConfig(beam=2),
)
FLICKR8K = Config(
    task=CaptionsConfig(folder=Path("flickr8k"), texts=True),
    model=ShowAndTellConfig(encoder=EfficientNet()),
    training=replace(training(1500), validate_every=100),
    texts_first=1000,
)

# sizes and beam of the paper; the training of the authors' program im2txt
PAPER = Config(
    task=CaptionsConfig(folder=Path("flickr8k")),
    model=ShowAndTellConfig(encoder=Stored(channels=1024), embedding_size=512, hidden_size=512, dropout=0.3),
    training=TrainingConfig(
        steps=40_000, batch_size=32, optimizer=SGD(), learning_rate=2.0, schedule="constant", clip=5.0,
        keep="best", patience=10, validate_every=1000, checkpoint_every=1000,
    ),
    search=SearchConfig(beam=20, length_penalty=0.0),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Show and Tell: A Neural Image Caption Generator",
        authors="Vinyals, Toshev, Bengio & Erhan",
        year=2015,
        arxiv="1411.4555",
        target="table 1 and table 2",
        number="Flickr8k, 6,000 photos: BLEU-1 63; MSCOCO: BLEU-4 27.7, METEOR 23.7, CIDEr 85.5",
    ),
    task=task,
    build=build,
    objective=loss,
    predict=predict,
    stream=stream,
    steps=steps,
    variants={
        "default": Config(),
        "tiny": TINY,
        "lrcn": Config(model=replace(SCENES, image="every-step")),
        "flickr8k": FLICKR8K,
        "paper": PAPER,
        "flickr8k-lrcn": replace(FLICKR8K, model=replace(FLICKR8K.model, image="every-step")),
    },
)
