"""The recipe of memory networks: data, variants, pictures and claims."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saccade.core.config import config
from saccade.core.device import evaluating, to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain.capture import capture
from saccade.explain.pictures.alignment import Alignment
from saccade.systems.memory_network.model import MemoryNetworkConfig, MemoryNetworkSystem
from saccade.systems.memory_network.objective import objective
from saccade.tasks.babi import BabiConfig, BabiTask, Batch
from saccade.tasks.babi.stream import by_questions
from saccade.training.config import TrainingConfig


@config
class Config:
    """Memory networks."""

    task: BabiConfig = BabiConfig(grams=3, most_sentences=250)
    model: MemoryNetworkConfig = MemoryNetworkConfig()
    training: TrainingConfig = TrainingConfig(
        steps=6000, batch_size=32, window=256, learning_rate=2e-3, warmup=100, clip=10.0, threads=1,
        validate_every=500, keep="best",
    )  # fmt: skip


def task(config: Config, assets: Path | None) -> BabiTask:
    return BabiTask(config.task, assets)


def build(config: Config, task: Any) -> MemoryNetworkSystem:
    return MemoryNetworkSystem(config.model, len(task.symbols), task.answers)


def predict(model: Any, batch: Batch, config: Config) -> list[int]:
    answers: list[int] = model(batch).scores.argmax(1).tolist()
    return answers


def chosen(answer: Answer) -> Tensor:
    """(facts, sentences): 1 at each fact that the model chooses, in order."""
    batch = to_device(answer.task.collate([answer.example]), answer.device)
    with torch.no_grad(), evaluating(answer.model), capture(answer.model, "memory.chosen.*") as seen:
        answer.model(batch)
    weights = torch.stack([seen[f"memory.chosen.{step}"][0][0] for step in range(len(seen))]).float().cpu()
    return weights[: max(1, int(weights.any(1).sum()))]


def pictures(answer: Answer) -> list[Picture]:
    weights = chosen(answer)
    facts = [f"fact {number}" for number in range(1, len(weights) + 1)]
    title = f"{answer.example.question} {answer.task.decode(answer.prediction)}"
    sentences = answer.example.sentences
    return [Alignment("facts", weights, facts, sentences, "step", "sentence", "chosen", title, tall=True)]


def measures(answer: Answer) -> dict[str, Figure]:
    """Whether the chosen facts are the supporting ones, in any order."""
    weights = chosen(answer)
    found = set(weights.argmax(1)[weights.any(1)].tolist())
    right = found == set(answer.example.supports)
    return {"facts_right": Figure(100.0 * right, "%", "all supporting facts found")}


TINY = Config(
    task=BabiConfig(tasks=(1, 4), grams=2),
    model=MemoryNetworkConfig(width=20, facts=2),
    training=TrainingConfig(
        steps=200,
        batch_size=32,
        window=256,
        learning_rate=5e-3,
        threads=1,
        validate_every=50,
        checkpoint_every=50,
        log_every=10,
    ),
)
BABI_1K = Config(
    task=BabiConfig(folder=Path("babi"), grams=3, most_sentences=250),
    training=TrainingConfig(
        steps=40000, batch_size=32, window=256, learning_rate=2e-3, warmup=100, clip=10.0, threads=1,
        validate_every=2000, checkpoint_every=2000, keep="best",
    ),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Memory Networks",
        authors="Weston, Chopra & Bordes",
        year=2014,
        arxiv="1410.3916",
        target="table 3 of Weston et al. 2015, arXiv:1502.05698",
        number="6.7 % mean error on bAbI 1k, 4 tasks failed (adaptive, n-grams, nonlinear; strongly supervised)",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    stream=by_questions,
    pictures=pictures,
    measures=measures,
    variants={"default": Config(), "tiny": TINY, "babi-1k": BABI_1K},
    claims=(
        Claim(
            metric="error",
            direction="min",
            bound=10.0,
            variant="babi-1k",
            why="near the 6.7 % of Weston et al. 2015, whose network is trained on each task alone",
        ),
    ),
)
