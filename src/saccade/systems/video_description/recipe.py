"""The recipe of video description: clips of two events, four rows of variants, measures and claims."""

from pathlib import Path
from typing import Any

from saccade.core.config import config
from saccade.core.device import to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Loss, Paper, Part, Recipe, Step
from saccade.core.task import Figure
from saccade.nets.attention_choice import Additive
from saccade.nets.captioning import answers, limits_of
from saccade.nets.search import SearchConfig, Symbols
from saccade.nets.written import written
from saccade.systems.video_description.frames import FrameWeights
from saccade.systems.video_description.model import VideoDescription, VideoDescriptionConfig
from saccade.systems.video_description.watched import watched
from saccade.tasks.captions import ClipBatch, ClipsConfig, ClipsTask, Said
from saccade.tasks.captions.batch import counted, targets_of
from saccade.tasks.captions.stream import CaptionStream
from saccade.tasks.captions.words import END, PAD, START, UNKNOWN
from saccade.training.config import TrainingConfig

SYMBOLS = Symbols(START, END, never=(PAD, UNKNOWN, START))
STEPS = 1800


def sizes(**options: Any) -> VideoDescriptionConfig:
    """Sizes that suffice for clips."""
    return VideoDescriptionConfig(
        attention=Additive(attention_size=64), embedding_size=64, hidden_size=128, dropout=0.1, **options
    )


@config
class Config:
    """Descriptions of clips with attention to frames."""

    task: ClipsConfig = ClipsConfig()
    model: VideoDescriptionConfig = sizes()
    training: TrainingConfig = TrainingConfig(
        steps=STEPS, batch_size=64, learning_rate=2e-3, warmup=100, threads=1, validate_every=300, checkpoint_every=300,
        log_every=100,
    )  # fmt: skip
    search: SearchConfig = SearchConfig(length_penalty=0.0)


def task(config: Config, assets: Path | None) -> ClipsTask:
    return ClipsTask(config.task, assets)


def build(config: Config, task: Any) -> VideoDescription:
    return VideoDescription(config.model, len(task.words))


def loss(model: Any, batch: ClipBatch, step: int) -> Loss:
    """Nats a word."""
    targets = targets_of(batch.tokens)
    return Loss({"nats": Part(model(batch).projection.cross_entropy(targets, PAD), (targets != PAD).sum())})


def predict(model: Any, batch: ClipBatch, config: Config) -> list[Said]:
    """The best descriptions of each clip, the greedy one, and what the model gives to the clip's own."""
    found = answers(
        model, model.encode(batch), limits_of(batch.tokens, ClipsTask.longest_answer), batch.references,
        counted(batch.references), SYMBOLS, config.search, config.training.seed,
    )  # fmt: skip
    return [Said(*one) for one in found]


def steps(answer: Answer, count: int) -> list[Step]:
    """The likeliest words at each step of a description."""
    model: Any = answer.model
    seen = model.encode(to_device(answer.task.collate([answer.example]), answer.device))
    words, limit = answer.task.words, ClipsTask.longest_answer + 1
    return written(
        model, seen, answer.prediction.symbols, SYMBOLS, lambda own: [words[one] for one in own], count, limit
    )


def pictures(answer: Answer) -> list[Picture]:
    """The frames, and a row of their weights for each word, the end included."""
    found = watched(answer)
    words = [answer.task.words[symbol] for symbol in found.symbols]
    return [FrameWeights("frames", found.frames, found.weights, words, f"“{answer.task.decode(answer.prediction)}”")]


def measures(answer: Answer) -> dict[str, Figure]:
    """How much of the weight of a word lies on the frames of the event that it is about; of even weights the same. A
    description that names nothing in the clip counts as one word with nothing there."""
    found = watched(answer)
    spans = answer.task.spans(answer.example, answer.prediction.symbols)
    rows = [(found.weights[place], span) for place, span in enumerate(spans) if span is not None]
    shares = [float(weights[span.start : span.stop].sum()) for weights, span in rows] or [0.0]
    even = [len(span) / len(weights) for weights, span in rows] or [0.0]
    return {
        "on_event": Figure(100 * sum(shares) / len(shares), "%", "weight on the event's frames", len(shares)),
        "even_on_event": Figure(100 * sum(even) / len(even), "%", "the same of even weights", len(even)),
    }


def stream(config: Config, task: ClipsTask, model: Any) -> CaptionStream:
    options = config.training
    return CaptionStream(task, batch_size=options.batch_size, window=options.window, seed=options.seed)


TINY = Config(
    task=ClipsConfig(clips=60, judged=12),
    model=VideoDescriptionConfig(
        attention=Additive(attention_size=16), embedding_size=16, hidden_size=24, frame_channels=(8, 16),
        local_channels=(8, 16), dropout=0.1,
    ),
    training=TrainingConfig(
        steps=40, batch_size=30, learning_rate=1e-2, threads=1, validate_every=20, checkpoint_every=20, log_every=5
    ),
    search=SearchConfig(beam=2),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Describing Videos by Exploiting Temporal Structure",
        authors="Yao, Torabi, Cho, Ballas, Pal, Larochelle & Courville",
        year=2015,
        arxiv="1502.08029",
        target="table 1",
        number="Youtube2Text: METEOR 28.68 and perplexity 33.09 without both, 28.32 and 33.42 with local convolutions, "
        "29.00 and 27.89 with attention, 29.60 and 27.55 with both",
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
        "no-local": Config(model=sizes(local_channels=())),
        "no-attention": Config(model=sizes(attend=False)),
        "neither": Config(model=sizes(local_channels=(), attend=False)),
    },
    claims=(
        Claim(metric="true", direction="max", bound=85.0, variant="default", why="it tells both events rightly"),
        Claim(
            metric="on_event", direction="max", bound=75.0, variant="default",
            why="a word weighs the frames of the event that it is about",
        ),
    ),
)  # fmt: skip
