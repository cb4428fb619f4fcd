"""The recipe of BERT as a classifier: sentences in pieces, variants, pictures and claims."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import model_validator
from torch.nn import functional as F

from saccade.core.config import config
from saccade.core.picture import Picture
from saccade.core.pretrained import Weights
from saccade.core.recipe import Answer, Claim, Loss, Paper, Part, Recipe
from saccade.core.stream import ExampleStream
from saccade.explain.answers import heads
from saccade.systems.bert_classifier.model import BertClassifier, ClassifierConfig
from saccade.tasks.sentences import Batch, Chosen, PiecedTask, PiecesConfig
from saccade.tasks.text import WordPieces
from saccade.training.config import Adam, TrainingConfig

TAPS = "encoder.stack.blocks.*.attention.weights"
ADAM = Adam(weight_decay=0.01)


@config
class Config:
    """A Transformer that reads both sides of each piece of a sentence, and names its class."""

    task: PiecesConfig = PiecesConfig(reviews=12_000, longest=64)
    model: ClassifierConfig = ClassifierConfig(layers=2, model_size=64, heads=4, positions=64)
    training: TrainingConfig = TrainingConfig(
        steps=4000, batch_size=1500, learning_rate=1e-3, schedule="linear", warmup=100, optimizer=ADAM, clip=1.0,
        threads=1, validate_every=200, checkpoint_every=500, keep="best",
    )  # fmt: skip
    weights: Weights | None = None
    """Weights to start from, with their sizes and pieces: a run, or a folder with a checkpoint of Hugging Face."""

    @model_validator(mode="after")
    def check_lengths(self) -> "Config":
        if self.task.longest > self.model.positions:
            raise ValueError(
                f"--task.longest {self.task.longest} is more than the model reads; type --model.positions "
                f"{self.task.longest} or a smaller --task.longest"
            )
        return self


def task(config: Config, assets: Path | None) -> PiecedTask:
    return PiecedTask(config.task, assets, config.model.positions)


def build(config: Config, task: Any) -> BertClassifier:
    return BertClassifier(config.model, len(task.symbols.names), len(task.classes))


def stream(config: Config, task: Any, model: Any) -> ExampleStream:
    """Sentences of similar length; a batch is counted in pieces."""
    own = config.training
    return ExampleStream(task, batch_size=own.batch_size, window=own.window, seed=own.seed, side="input")


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """The cross-entropy of the classes in training; in evaluation the accuracy decides."""
    if not model.training:
        return Loss({})
    loss = F.cross_entropy(model(batch.symbols, batch.mask), batch.labels)
    return Loss({"nats": Part(loss, len(batch.labels))})


def looking(model: Any, batch: Batch, step: int) -> Loss:
    """The model reads a sentence, whose class need not be known."""
    model(batch.symbols, batch.mask)
    return Loss({})


def predict(model: Any, batch: Batch, config: Config) -> list[Chosen]:
    rows = model(batch.symbols, batch.mask).double().softmax(-1)
    return [Chosen(int(row.argmax()), tuple(round(value, 4) for value in row.tolist())) for row in rows]


def pictures(answer: Answer) -> list[Picture]:
    """Every head over the pieces of the sentence."""
    found = heads(answer, looking, [(TAPS, "symbols", "symbols", "", "attention weight")])
    return [] if found is None else [found]


TINY = Config(
    task=PiecesConfig(reviews=200, symbols=WordPieces(size=150), longest=48),
    model=ClassifierConfig(layers=2, model_size=16, heads=2, positions=48, dropout=0.0),
    training=TrainingConfig(
        steps=40, batch_size=500, learning_rate=5e-3, threads=1, validate_every=20, checkpoint_every=20, log_every=10
    ),
)
# about four passes; the sizes and the pieces are those of the 6 layers of MiniLM
SST2 = Config(
    task=PiecesConfig(
        corpus="sst2", folder=Path("sentences"), symbols=WordPieces(vocabulary=Path("minilm/vocab.txt")), longest=80
    ),
    model=ClassifierConfig(
        layers=6, model_size=384, heads=12, hidden_size=1536, positions=512, dropout=0.1, attention_dropout=0.1,
        pooling="mean",
    ),
    training=TrainingConfig(
        steps=800, batch_size=850, learning_rate=1e-4, schedule="linear", warmup=80, optimizer=ADAM, clip=1.0,
        validate_every=100, checkpoint_every=200, keep="best",
    ),
    weights=Weights(Path("minilm")),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
        authors="Devlin et al.",
        year=2019,
        arxiv="1810.04805",
        target="table 1, SST-2",
        number="93.5 % (base) and 94.9 % (large), with all phrases of SST",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    stream=stream,
    pictures=pictures,
    variants={
        "default": Config(),
        "tiny": TINY,
        "sst2": SST2,
        "sst2-untrained": replace(SST2, weights=None),
        "sst2-output": replace(
            SST2,
            model=replace(SST2.model, trained="output"),
            training=replace(SST2.training, learning_rate=1e-2),
        ),
    },
    claims=(
        Claim(
            metric="accuracy",
            direction="max",
            bound=98.0,
            variant="default",
            why="the grammar has no exceptions: negation and contrast can be learned from 12,000 reviews",
        ),
        Claim(
            metric="accuracy",
            direction="max",
            bound=85.0,
            variant="sst2",
            why="from the 6 layers of MiniLM, on 6,920 sentences without phrases; a linear layer over its "
            "features gives 79",
        ),
    ),
)
