"""The recipe of the RNN encoder-decoder, the baseline without attention."""

from typing import TYPE_CHECKING, Any

from jaxtyping import Int
from torch import Tensor

from saccade.core.config import config
from saccade.core.device import to_device
from saccade.core.recipe import Answer, Paper, Recipe, Step
from saccade.nets.search import SearchConfig, Symbols, answers
from saccade.nets.written import written
from saccade.systems.rnnencdec.model import RNNEncDec, RNNEncDecConfig
from saccade.tasks.translation import Batch, TranslationConfig, TranslationTask
from saccade.tasks.translation.objective import cross_entropy
from saccade.tasks.translation.vocabulary import END, START
from saccade.training.config import Adadelta, TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path

SYMBOLS = Symbols(START, END)


@config
class Config:
    """The RNN encoder-decoder on parallel text."""

    task: TranslationConfig = TranslationConfig()
    model: RNNEncDecConfig = RNNEncDecConfig()
    training: TrainingConfig = TrainingConfig(steps=1200, learning_rate=2e-3, schedule="linear", validate_every=300)
    search: SearchConfig = SearchConfig()


def task(config: Config, assets: "Path | None") -> TranslationTask:
    return TranslationTask(config.task, assets)


def build(config: Config, task: Any) -> RNNEncDec:
    return RNNEncDec(config.model, len(task.source), len(task.target))


def limits(batch: Batch) -> Int[Tensor, " b"]:
    """The most symbols of each answer."""
    return 2 * batch.source_mask.sum(1) + 10


def predict(model: Any, batch: Batch, config: Config) -> list[list[int]]:
    encoded = model.encode(batch.source, batch.source_mask)
    return answers(model, encoded, limits(batch), SYMBOLS, config.search, config.training.seed)


def steps(answer: Answer, count: int) -> list[Step]:
    """The likeliest symbols at each step of a translation."""
    model: Any = answer.model
    batch = to_device(answer.task.collate([answer.example]), answer.device)
    encoded, limit = model.encode(batch.source, batch.source_mask), int(limits(batch))
    return written(model, encoded, answer.prediction, SYMBOLS, answer.task.target.pieces, count, limit)


TINY = Config(
    task=TranslationConfig(limit=600, vocabulary_size=200),
    model=RNNEncDecConfig(embedding_size=16, hidden_size=16, readout_size=16),
    training=TrainingConfig(
        steps=200, batch_size=400, learning_rate=1e-2, validate_every=50, checkpoint_every=20, log_every=10
    ),
    search=SearchConfig(beam=2),
)
MULTI30K = Config(
    task=TranslationConfig(corpus="multi30k", vocabulary_size=6000, lowercase=True, label_smoothing=0.1),
    model=RNNEncDecConfig(dropout=0.35),
    training=TrainingConfig(
        steps=6000, batch_size=1500, learning_rate=1e-3, schedule="linear", warmup=200, validate_every=500
    ),
)
PAPER = Config(
    task=TranslationConfig(
        corpus="folder", languages=("en", "fr"), vocabulary="word", vocabulary_size=30_000, longest=50
    ),
    model=RNNEncDecConfig(embedding_size=620, hidden_size=1000, readout_size=500, dropout=0.0),
    training=TrainingConfig(
        steps=300_000, batch_size=4000, optimizer=Adadelta(rho=0.95, epsilon=1e-6),
        learning_rate=1.0, schedule="constant", validate_every=5000, checkpoint_every=5000, keep="best",
    ),
    search=SearchConfig(length_penalty=0.0),
)  # fmt: skip


def words(longest: int) -> Config:
    """The papers' comparison at a small size: whole words, trained on sentences of at most `longest` words.

    Few sentences are that short, and training on them soon stops helping with longer ones, so the best weights are
    kept.
    """
    return Config(
        task=TranslationConfig(
            corpus="multi30k",
            languages=("en", "fr"),
            vocabulary="word",
            vocabulary_size=5000,
            longest=longest,
            label_smoothing=0.1,
        ),
        model=RNNEncDecConfig(dropout=0.4),
        training=TrainingConfig(
            steps=2000,
            batch_size=1500,
            learning_rate=1e-3,
            schedule="linear",
            warmup=200,
            validate_every=100,
            keep="best",
            patience=5,
        ),
    )


RECIPE = Recipe(
    paper=Paper(
        title="Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation",
        authors="Cho et al.",
        year=2014,
        arxiv="1406.1078",
        target="table 1 of Bahdanau et al. 2015",
        number="17.82 BLEU (RNNencdec-50, WMT14 English-French, all sentences)",
    ),
    task=task,
    build=build,
    objective=cross_entropy,
    predict=predict,
    steps=steps,
    variants={
        "default": Config(),
        "tiny": TINY,
        "multi30k": MULTI30K,
        "words-10": words(10),
        "words-30": words(30),
        "paper": PAPER,
    },
)
