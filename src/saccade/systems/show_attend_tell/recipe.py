"""The recipe of Show, Attend and Tell: scenes and photos, variants, measures and claims."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from saccade.core.config import config
from saccade.core.device import to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Paper, Recipe, Step
from saccade.core.task import Figure
from saccade.explain.pictures.build_up import BuildUp
from saccade.nets.attention_choice import (
    Additive,
    Attention,
    Gumbel,
    Hard,
    ScoreFunctionGradient,
    StraightThrough,
)
from saccade.nets.captioning import answers, limits_of
from saccade.nets.image_encoder import Convolutional, EfficientNet, Stored
from saccade.nets.nearest_caption import NearestCaption, nearest_of
from saccade.nets.search import SearchConfig, Symbols
from saccade.nets.written import written
from saccade.systems.show_attend_tell.looks import gates_of, heaviest, looked
from saccade.systems.show_attend_tell.model import ShowAttendTell, ShowAttendTellConfig
from saccade.systems.show_attend_tell.objective import loss
from saccade.systems.show_attend_tell.words import Words
from saccade.tasks.captions import Batch, CaptionsConfig, CaptionsTask, Said
from saccade.tasks.captions.batch import counted
from saccade.tasks.captions.config import check_texts_first
from saccade.tasks.captions.grammar import FORMS
from saccade.tasks.captions.stream import CaptionStream
from saccade.tasks.captions.words import END, PAD, START, UNKNOWN
from saccade.training.config import RMSprop, TrainingConfig

SYMBOLS = Symbols(START, END, never=(PAD, UNKNOWN, START))
SOFT = Additive(attention_size=64)
HARD = Hard(
    attention_size=64,
    estimator=ScoreFunctionGradient(baseline="moving", reward_weight=0.3, entropy_weight=0.01),
    soft=0.5,
)


def training(steps: int, **options: Any) -> TrainingConfig:
    """Adam; small products are faster in one thread."""
    return TrainingConfig(
        steps=steps, batch_size=64, learning_rate=3e-3, warmup=100, threads=1, validate_every=1000,
        checkpoint_every=1000, log_every=100, **options,
    )  # fmt: skip


def scenes(
    attention: Attention = SOFT, order: Literal["look-first", "step-first"] = "step-first"
) -> ShowAttendTellConfig:
    """Sizes that suffice for scenes."""
    return ShowAttendTellConfig(
        encoder=Convolutional(channels=(16, 32, 64), further=0, position=True), attention=attention, embedding_size=64,
        hidden_size=192, order=order, penalty=0.0, dropout=0.1, context_dropout=0.5,
    )  # fmt: skip


@config
class Config:
    """Captions with attention to regions of an image."""

    task: CaptionsConfig = CaptionsConfig()
    model: ShowAttendTellConfig = scenes()
    training: TrainingConfig = training(4000)
    search: SearchConfig = SearchConfig(length_penalty=0.0)
    texts_first: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """The first steps of the training, which read captions without images (`--task.texts`), if there are any."""

    @model_validator(mode="after")
    def check_texts_first(self) -> "Config":
        check_texts_first(self)
        return self


def task(config: Config, assets: Path | None) -> CaptionsTask:
    return CaptionsTask(config.task, assets)


def build(config: Config, task: Any) -> ShowAttendTell:
    model = ShowAttendTell(config.model, len(task.words))
    if isinstance(config.model.encoder, EfficientNet | Stored):
        model.nearest = NearestCaption(task.known)
    return model


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
    regions = model.encode(to_device(answer.task.collate([answer.example]), answer.device))
    limit, words = answer.config.task.longest + 1, answer.task.words
    return written(
        model,
        regions,
        answer.prediction.symbols,
        SYMBOLS,
        lambda symbols: [words[one] for one in symbols],
        count,
        limit,
    )


def pictures(answer: Answer) -> list[Picture]:
    """Where it looked at each word of its caption, the end included; and how each word comes about."""
    seen = looked(answer)
    words = [answer.task.words[symbol] for symbol in seen.symbols]
    said, image = f"“{answer.task.decode(answer.prediction)}”", answer.task.pixels([answer.example])[0]
    title, weights = f"{said}: the weights of the regions, and below the heaviest region", seen.weights.flatten(1)
    rows, columns = seen.weights.shape[1:]
    scores = weights.clamp(min=1e-6).log()
    return [
        Words("words", image, seen.weights, words, gates_of(seen), title),
        BuildUp(
            "build-up", scores, seen.contexts, words, seen.annotations, image, (rows, columns),
            title=f"{said}: word by word", states=seen.states,
        ),
    ]  # fmt: skip


def measures(answer: Answer) -> dict[str, Figure]:
    """For scenes, whether it looked at the objects that it named; for all images, the gate. A caption that names no
    object of the scene counts as one word that looks at none."""
    seen, found = looked(answer), dict[str, Figure]()
    boxes = answer.task.boxes(answer.example, answer.prediction.symbols)
    hits = {place: box.holds(*heaviest(seen, place)) for place, box in enumerate(boxes) if box is not None}
    if answer.task.things(answer.example):
        nouns = {place: hit for place, hit in hits.items() if answer.task.words[seen.symbols[place]] in FORMS}
        for name, own, said in (("looks_right", hits, "words"), ("nouns_look_right", nouns, "nouns")):
            count = max(1, len(own))
            share = 100 * sum(own.values()) / count
            found[name] = Figure(share, "%", f"{said} that look at their object", over=count)
    if seen.gates is not None:
        found["gate"] = Figure(float(seen.gates.mean()), "", "gate beta", over=len(seen.gates))
    return found


def stream(config: Config, task: CaptionsTask, model: Any) -> CaptionStream:
    options = config.training
    return CaptionStream(
        task, batch_size=options.batch_size, window=options.window, seed=options.seed, alone=config.texts_first
    )


TINY = Config(
    task=CaptionsConfig(scenes=60, judged=12, size=32),
    model=ShowAttendTellConfig(
        encoder=Convolutional(channels=(8, 16), further=1), attention=Additive(attention_size=16), embedding_size=16,
        hidden_size=24, order="step-first", dropout=0.1,
    ),
    training=TrainingConfig(
        steps=60, batch_size=30, learning_rate=1e-2, threads=1, validate_every=20, checkpoint_every=20, log_every=5
    ),
    search=SearchConfig(beam=2),
)  # fmt: skip

PAPER = Config(
    task=CaptionsConfig(folder=Path("flickr8k")),
    model=ShowAttendTellConfig(
        encoder=Stored(), attention=Additive(attention_size=512), embedding_size=512, hidden_size=1000
    ),
    training=TrainingConfig(
        steps=40_000, batch_size=64, optimizer=RMSprop(), learning_rate=1e-3, schedule="constant", keep="best",
        patience=10, validate_every=1000, checkpoint_every=1000,
    ),
)  # fmt: skip
FLICKR8K = CaptionsConfig(folder=Path("flickr8k"), texts=True)


def photos(attention: Attention, **options: Any) -> Config:
    """Photos through the frozen network. On validation the last weights say more than those of the least loss."""
    return Config(
        task=FLICKR8K,
        model=ShowAttendTellConfig(encoder=EfficientNet(), attention=attention, dropout=0.5, **options),
        training=replace(training(1500), validate_every=100),
        texts_first=1000,
    )


RECIPE = Recipe(
    paper=Paper(
        title="Show, Attend and Tell: Neural Image Caption Generation with Visual Attention",
        authors="Xu, Ba, Kiros, Cho, Courville, Salakhutdinov, Zemel & Bengio",
        year=2015,
        arxiv="1502.03044",
        target="table 1",
        number="Flickr8k, 6,000 photos: BLEU-4 19.5 and METEOR 18.93 with soft attention, 21.3 and 20.30 with hard",
    ),
    task=task,
    build=build,
    objective=loss,
    predict=predict,
    stream=stream,
    pictures=pictures,
    measures=measures,
    steps=steps,
    variants={
        "default": Config(),
        "tiny": TINY,
        "look-first": Config(model=scenes(order="look-first"), training=training(3000)),
        # noise closes a gate, and the mean annotation, which is always there, says much of what a choice would
        "hard": Config(model=replace(scenes(HARD), gate=False, start_dropout=0.5), training=training(10_000)),
        "straight-through": Config(
            model=scenes(Hard(attention_size=64, estimator=StraightThrough())), training=training(3000)
        ),
        "gumbel": Config(model=scenes(Hard(attention_size=64, estimator=Gumbel())), training=training(3000)),
        "flickr8k": photos(Additive()),
        "flickr8k-hard": photos(replace(HARD, attention_size=256), penalty=0.0),
        "paper": PAPER,
    },
    claims=(
        Claim(
            metric="objects_right",
            direction="max",
            bound=95.0,
            variant="default",
            why="the objects that a caption names are in the scene, with the sizes that it says",
        ),
        Claim(
            metric="true",
            direction="max",
            bound=60.0,
            variant="default",
            why="all that a caption says of a scene holds, relations too; a sketch trained for a minute had 42 %",
        ),
        Claim(
            metric="looks_right",
            direction="max",
            bound=75.0,
            variant="default",
            why="the heaviest region at a word lies in the box of the object that it names; by chance 11 %",
        ),
        Claim(
            metric="objects_right",
            direction="max",
            variant="hard",
            against="default",
            factor=2 / 3,
            why="one region a word, trained by REINFORCE, is enough to name most objects",
        ),
        Claim(
            metric="looks_right",
            direction="max",
            bound=60.0,
            variant="hard",
            why="the most probable region lies in the box of the object that the word names",
        ),
        Claim(
            metric="cider",
            direction="max",
            bound=0.33,
            variant="flickr8k",
            why="750 photos and a frozen network; the caption of the nearest photo has 0.15, a person's 0.89",
        ),
        Claim(
            metric="bleu_4",
            direction="max",
            bound=12.0,
            variant="flickr8k",
            why="750 photos and a frozen network; the caption of the nearest photo has 4.4, a person's 20.7",
        ),
    ),
)
