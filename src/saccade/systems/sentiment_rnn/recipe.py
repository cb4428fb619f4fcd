"""The recipe of recurrent sentence classifiers: sentences, variants, pictures, measures and claims."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.core.config import config
from saccade.core.device import evaluating, to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Loss, Paper, Part, Recipe
from saccade.core.stream import ExampleStream
from saccade.core.task import Figure
from saccade.explain.capture import capture
from saccade.explain.pictures.text import Text
from saccade.nets.sequence_classifier import Pooling
from saccade.systems.sentiment_rnn.beside import Beside
from saccade.systems.sentiment_rnn.model import SentimentConfig, SentimentRNN
from saccade.systems.sentiment_rnn.omission import effects, rank_correlation
from saccade.tasks.sentences import Batch, Chosen, SentencesConfig, SentencesTask
from saccade.training.config import Adam, TrainingConfig


@config
class Config:
    """A recurrent sentence classifier."""

    task: SentencesConfig = SentencesConfig()
    model: SentimentConfig = SentimentConfig()
    training: TrainingConfig = TrainingConfig(
        steps=900, batch_size=1500, learning_rate=5e-3, threads=1, validate_every=100, checkpoint_every=300, keep="best"
    )


def task(config: Config, assets: Path | None) -> SentencesTask:
    return SentencesTask(config.task, assets)


def build(config: Config, task: Any) -> SentimentRNN:
    return SentimentRNN(config.model, len(task.symbols), len(task.classes))


def stream(config: Config, task: Any, model: Any) -> ExampleStream:
    """Sentences of similar length; a batch is counted in words."""
    own = config.training
    return ExampleStream(task, batch_size=own.batch_size, window=own.window, seed=own.seed, side="input")


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """The cross-entropy of the classes in training; in evaluation the accuracy decides."""
    if not model.training:
        return Loss({})
    loss = F.cross_entropy(model(batch.symbols, batch.mask), batch.labels)
    return Loss({"nats": Part(loss, len(batch.labels))})


def predict(model: Any, batch: Batch, config: Config) -> list[Chosen]:
    rows = model(batch.symbols, batch.mask).double().softmax(-1)
    return [Chosen(int(row.argmax()), tuple(round(value, 4) for value in row.tolist())) for row in rows]


def attention(answer: Answer) -> Float[Tensor, " t"] | None:
    """The weight of each word; None if the net has no attention."""
    if answer.config.model.pooling != "attention":
        return None
    batch = to_device(answer.task.collate([answer.example]), answer.device)
    with torch.no_grad(), evaluating(answer.model), capture(answer.model, "classifier.attention.weights") as heard:
        answer.model(batch.symbols, batch.mask)
    return heard["classifier.attention.weights"][0][0, 0].double().cpu()


def pictures(answer: Answer) -> list[Picture]:
    """Attention beside what leaving each word out does; without attention only the latter."""
    example, task = answer.example, answer.task
    lost = effects(answer.model, example.symbols.to(answer.device), answer.prediction.label)
    title, weights = task.decode(answer.prediction), attention(answer)
    if weights is None:
        return [Text("omission", example.words, lost, "probability lost without the word", title)]
    tau = rank_correlation(weights, lost.abs())
    return [Beside("beside", example.words, weights.tolist(), lost.tolist(), tau, title)]


def measures(answer: Answer) -> dict[str, Figure]:
    """The share of attention on the words that decide, where they are known, and of these words among all; and how far
    the order of attention is that of the effects of leaving words out."""
    weights, example = attention(answer), answer.example
    if weights is None:
        return {}
    lost = effects(answer.model, example.symbols.to(answer.device), answer.prediction.label)
    found = {"rank_correlation": Figure(rank_correlation(weights, lost.abs()), name="rank correlation with omission")}
    if example.deciding:
        share = 100 * float(weights[list(example.deciding)].sum())
        found["on_deciding"] = Figure(share, "%", "attention on deciding words")
        found["deciding"] = Figure(100 * len(example.deciding) / len(example.words), "%", "deciding words among all")
    return found


def pooled(base: Config, pooling: Pooling) -> Config:
    return replace(base, model=replace(base.model, pooling=pooling))


TINY = Config(
    task=SentencesConfig(reviews=200),
    model=SentimentConfig(embedding_size=8, hidden_size=8, attention_size=8, dropout=0.0),
    training=TrainingConfig(
        steps=40, batch_size=300, learning_rate=2e-2, threads=1, validate_every=20, checkpoint_every=20, log_every=10
    ),
)
# about 12 epochs; the best of them on the validation sentences is kept
SST2 = Config(
    task=SentencesConfig(corpus="sst2", folder=Path("sentences"), hidden=0.1),
    model=SentimentConfig(embedding_size=128, hidden_size=96, attention_size=64, dropout=0.5),
    training=TrainingConfig(
        steps=1600, batch_size=1200, learning_rate=2e-3, optimizer=Adam(weight_decay=0.01), ema=0.998,
        validate_every=100, checkpoint_every=400, keep="best",
    ),
)  # fmt: skip
MR = replace(SST2, task=SentencesConfig(corpus="mr", folder=Path("sentences"), hidden=0.1))

RECIPE = Recipe(
    paper=Paper(
        title="Attention is not Explanation",
        authors="Jain & Wallace",
        year=2019,
        arxiv="1902.10186",
        target="section 4.1, on SST",
        number="accuracy of Kim 2014 without vectors: 82.7 % on SST-2, with phrases, and 76.1 % on MR",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    stream=stream,
    pictures=pictures,
    measures=measures,
    variants={
        "default": Config(),
        "tiny": TINY,
        "last": pooled(Config(), "last"),
        "mean": pooled(Config(), "mean"),
        "maximum": pooled(Config(), "maximum"),
        "sst2": SST2,
        "sst2-last": pooled(SST2, "last"),
        "sst2-mean": pooled(SST2, "mean"),
        "sst2-maximum": pooled(SST2, "maximum"),
        "mr": MR,
    },
    claims=(
        Claim(
            metric="accuracy",
            direction="max",
            bound=98.0,
            variant="default",
            why="the grammar has no exceptions: negation and contrast can be learned from 4,000 reviews",
        ),
        Claim(
            metric="accuracy",
            direction="max",
            bound=80.0,
            variant="sst2",
            why="6,920 sentences, without phrases and without vectors (Kim 2014, CNN-rand with phrases: 82.7)",
        ),
        Claim(
            metric="accuracy",
            direction="max",
            bound=73.0,
            variant="mr",
            why="one seeded split (Kim 2014, CNN-rand, ten folds: 76.1; a re-run 74.4)",
        ),
    ),
)
