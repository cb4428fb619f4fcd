"""Small trainings to compare. As a program under torchrun: those of two processes, which `test_processes.py` judges."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saccade.core.projection import Projection
from saccade.core.recipe import Loss, Task
from saccade.systems.rnnsearch.model import RNNsearch, RNNsearchConfig
from saccade.systems.transformer.model import Transformer, TransformerConfig
from saccade.tasks.translation import Batch, TranslationConfig, TranslationTask
from saccade.training.config import TrainingConfig
from saccade.training.fit import Outcome, fit
from saccade.training.processes import Processes, launched
from saccade.training.random_state import seed_everything
from saccade.training.run_folder import RunFolder
from saccade.training.sampler import BatchSampler

STEPS, PART = 50, 20
BASE: dict[str, Any] = {
    "steps": STEPS, "batch_tokens": 40, "learning_rate": 1e-2, "schedule": "constant", "validate_every": 20,
    "checkpoint_every": 10, "log_every": 5, "device": "cpu",
}  # fmt: skip
UNEQUAL: dict[str, Any] = {"steps": 3, "optimizer": "sgd", "learning_rate": 0.5, "log_every": 1}


class Tied(nn.Module):
    """Layers over a bag of words, and a readout that has the weights of the embedding."""

    def __init__(self, source_symbols: int, target_symbols: int, size: int = 12) -> None:
        super().__init__()
        self.source_embedding = nn.Embedding(source_symbols, size)
        self.embedding = nn.Embedding(target_symbols, size)
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(2))
        self.gates = nn.ModuleList([Gate(size)])
        self.readout = nn.Linear(size, target_symbols)
        self.readout.weight = self.embedding.weight

    def forward(self, source: Tensor, source_mask: Tensor, target_inputs: Tensor) -> Projection:
        weights = source_mask.to(self.embedding.weight) / source_mask.sum(1, keepdim=True)
        features = self.embedding(target_inputs) + (weights[:, None] @ self.source_embedding(source))
        for layer in self.layers:
            features = features + torch.tanh(layer(features))
        return Projection(self.gates[0].open(features), self.readout.weight, self.readout.bias)


class Gate(nn.Module):
    """Used by a method other than its call, as a recurrent net is."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)

    def open(self, features: Tensor) -> Tensor:
        return features * torch.sigmoid(self.linear(features))


def task(limit: int = 120, assets: Path | None = None) -> TranslationTask:
    """Two that learn their vocabularies may differ: symbols that are equally common come in any order."""
    return TranslationTask(TranslationConfig(limit=limit, vocabulary_size=150), assets)


def batches(data: Task) -> list[list[int]]:
    """Those of the first epoch."""
    costs = [data.cost(example) for example in data.examples("train")]
    return BatchSampler(costs, BASE["batch_tokens"], 8000, 1, STEPS).epoch(0)


NETS: dict[str, Any] = {
    "tied": Tied,
    "transformer": partial(
        Transformer, TransformerConfig(layers=1, model_size=12, heads=2, hidden_size=16, dropout=0.0, tie="output")
    ),
    "rnnsearch": partial(
        RNNsearch, RNNsearchConfig(embedding_size=8, hidden_size=8, attention_size=8, readout_size=8, dropout=0.0)
    ),
}


def build(data: Any, net: str = "tied") -> Any:
    seed_everything(1)
    return NETS[net](len(data.source), len(data.target))


def without_tokens(model: nn.Module, batch: Batch, step: int) -> Loss:
    """A mean over examples: their losses, each the mean over its own symbols."""
    logits = model(batch.source, batch.source_mask, batch.target_inputs).logits()
    losses = nn.functional.cross_entropy(logits.mT, batch.targets, ignore_index=0, reduction="none")
    kept = batch.targets != 0
    return Loss(((losses * kept).sum(1) / kept.sum(1)).mean(), {})


def train(
    path: Path,
    data: Task,
    processes: Processes | None = None,
    objective: Any = None,
    report: Any = None,
    net: str = "tied",
    **changes: Any,
) -> Outcome:
    """A training in the folder; goes on where there is a checkpoint."""
    folder = RunFolder(path)
    if not folder.checkpoints.exists() and (processes is None or processes.rank == 0):
        folder.create({"system": "tied", "variant": "none", "config": {}, "version": "0"})
    config = TrainingConfig(**(BASE | changes))
    resume, told = folder.last.exists(), report or silent
    return fit(
        build(data, net),
        objective or data.objective,
        data,
        config,
        folder,
        "{}",
        told,
        resume,
        processes or Processes(),
    )


def silent(figures: Mapping[str, Any]) -> None:
    pass


def of_two(root: Path) -> None:
    """All trainings of two processes, while they are connected once."""
    processes, data, few = launched(), task(assets=root), task(7, root)
    with processes.joined("cpu"):
        for strategy, other in (("ddp", "fsdp2"), ("fsdp2", "ddp")):
            train(root / strategy, data, processes, strategy=strategy)
            train(root / f"one-{strategy}", data, processes, strategy=strategy)  # PART of it is there
            train(root / f"{strategy}-one", data, processes, strategy=strategy, steps=PART)
            train(root / f"{strategy}-{other}", data, processes, strategy=strategy, steps=PART)
            train(root / f"{strategy}-{other}", data, processes, strategy=other)
            train(
                root / f"{strategy}-unequal", few, processes, strategy=strategy, accumulate=len(batches(few)), **UNEQUAL
            )
            train(root / f"{strategy}-examples", few, processes, without_tokens, strategy=strategy, **UNEQUAL)
            train(root / f"{strategy}-average", data, processes, strategy=strategy, average=2, steps=PART)
            for net in ("transformer", "rnnsearch"):
                train(root / f"{strategy}-{net}", data, processes, strategy=strategy, net=net)


if __name__ == "__main__":
    torch.set_num_threads(1)
    of_two(Path(sys.argv[1]))
