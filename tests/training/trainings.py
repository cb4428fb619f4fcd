"""Small trainings to compare. Run under torchrun, it trains with two processes, for `test_processes.py`."""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn

from saccade.attention import MultiHeadAttention
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Loss, Part, Split
from saccade.core.stream import ExampleStream, Share
from saccade.core.task import Figure, Score, Size
from saccade.memory import GRU
from saccade.nets.language_model import LanguageModel, LanguageModelConfig, shards
from saccade.nets.projection import Projection
from saccade.training import checkpoint
from saccade.training import processes as module
from saccade.training.config import SGD, Adam, TrainingConfig
from saccade.training.fit import Outcome, fit
from saccade.training.processes import Processes, ProcessGone, launched
from saccade.training.random_state import seed_everything
from saccade.training.run_folder import RunFolder

STEPS, PART, PAD, SYMBOLS = 50, 20, 0, 30
BASE: dict[str, Any] = {
    "steps": STEPS, "batch_size": 16, "learning_rate": 1e-2, "schedule": "constant", "validate_every": 20,
    "checkpoint_every": 10, "log_every": 5, "device": "cpu",
}  # fmt: skip
UNEQUAL: dict[str, Any] = {"steps": 3, "optimizer": SGD(), "learning_rate": 0.5, "log_every": 1}
PRECISE: dict[str, Any] = {"precision": "float64"}
# the gradient of a key's bias is 0, and Adam without such an epsilon makes steps of what is rounded
SINGLE: dict[str, Any] = {"precision": "float32", "optimizer": Adam(epsilon=1e-5)}
FEW: dict[str, Any] = {"steps": 10, "checkpoint_every": 5, "validate_every": 5}
EXACT: dict[str, Any] = {**UNEQUAL, "precision": "float64", "clip": None}


class Example(NamedTuple):
    source: tuple[int, ...]
    target: tuple[int, ...]


class Batch(NamedTuple):
    source: Tensor
    source_mask: Tensor
    target_inputs: Tensor
    targets: Tensor
    """The last of each row is the end, symbol 1."""


class Reversals:
    """Sequences of symbols and their reversals."""

    metric = "right"
    direction: Literal["max", "min"] = "max"
    unit = "%"

    def __init__(self, limit: int = 120) -> None:
        self.limit = limit

    def examples(self, split: str) -> Sequence[Example]:
        generator = torch.Generator().manual_seed(("train", "validation", "test").index(split))
        count = self.limit if split == "train" else 21
        lengths = torch.randint(1, 9, (count,), generator=generator).tolist()
        rows = [torch.randint(2, SYMBOLS, (length,), generator=generator).tolist() for length in lengths]
        return [Example(tuple(row), tuple(row[::-1][: 1 + len(row) // 2])) for row in rows]

    def size(self, example: Example) -> Size:
        return Size(len(example.source), len(example.target) + 1)

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        source = pad([example.source for example in examples])
        inputs, targets = pad([(1, *e.target) for e in examples]), pad([(*e.target, 1) for e in examples])
        return Batch(source, source != PAD, inputs, targets)

    def score(self, predictions: Sequence[Any], examples: Sequence[Any]) -> Score:
        return Score({"right": Figure(0.0, "%")})

    def describe(self) -> dict[str, Any]:
        return {"data": "symbols", "sha256": "0" * 64}


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])


class Tied(nn.Module):
    """Layers over a bag of symbols, with a readout tied to the embedding."""

    def __init__(self, size: int = 12) -> None:
        super().__init__()
        self.source_embedding = nn.Embedding(SYMBOLS, size)
        self.embedding = nn.Embedding(SYMBOLS, size)
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(2))
        self.gates = nn.ModuleList([Gate(size)])
        self.readout = nn.Linear(size, SYMBOLS)
        self.readout.weight = self.embedding.weight

    def forward(self, source: Tensor, source_mask: Tensor, target_inputs: Tensor) -> Projection:
        weights = source_mask.to(self.embedding.weight) / source_mask.sum(1, keepdim=True)
        features = self.embedding(target_inputs) + (weights[:, None] @ self.source_embedding(source))
        for layer in self.layers:
            features = features + torch.tanh(layer(features))
        return Projection(self.gates[0].open(features), self.readout.weight, self.readout.bias)


class Gate(nn.Module):
    """Used through a method other than its call, like a recurrent net."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)

    def open(self, features: Tensor) -> Tensor:
        return features * torch.sigmoid(self.linear(features))


class Attending(nn.Module):
    """Layers of attention, and a recurrent net used step by step; nothing is tied, one weight is unused."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, size)
        self.layers = nn.ModuleList(MultiHeadAttention(size, 2) for _ in range(2))
        self.memory = GRU(size, size)
        self.readout = nn.Linear(size, SYMBOLS)
        self.unused = nn.Linear(size, size)

    def forward(self, source: Tensor, source_mask: Tensor, target_inputs: Tensor) -> Projection:
        keys, features = self.embedding(source), self.embedding(target_inputs)
        for layer in self.layers:
            features = features + layer(features, keys, source_mask)
        state, steps = self.memory.initial_state(len(source)), []
        for inputs in features.unbind(1):
            output, state = self.memory.step(inputs, state)
            steps.append(output)
        return Projection(torch.stack(steps, 1), self.readout.weight, self.readout.bias)


class Language(nn.Module):
    """A language model of Transformer blocks, over a number of symbols that 2 does not divide."""

    def __init__(self, symbols: int = 65, dropout: float = 0.0) -> None:
        super().__init__()
        sizes = LanguageModelConfig(layers=2, model_size=8, heads=4, hidden_size=12, positions=16, dropout=dropout)
        self.net = LanguageModel(sizes, symbols)

    def forward(self, source: Tensor, source_mask: Tensor, target_inputs: Tensor) -> Projection:
        return self.net(target_inputs)  # type: ignore[no-any-return]


PLAN: dict[str, Split] = {f"net.{name}": how for name, how in shards(LanguageModelConfig(heads=4), 2).items()}
NETS: dict[str, Any] = {
    "tied": Tied, "attending": Attending, "language": Language, "dropped": partial(Language, dropout=0.3),
    "many-symbols": partial(Language, 50_257),
}  # fmt: skip


def build(net: str = "tied") -> Any:
    seed_everything(1)
    return NETS[net]()


def symbols(model: nn.Module, batch: Batch, step: int) -> Loss:
    """The mean over symbols."""
    loss = model(batch.source, batch.source_mask, batch.target_inputs).cross_entropy(batch.targets, PAD, 0.0)
    return Loss({"symbols": Part(loss, (batch.targets != PAD).sum())}, {"largest": batch.targets.max().double()})


def examples(model: nn.Module, batch: Batch, step: int) -> Loss:
    """The mean over examples of the mean over symbols."""
    losses, kept = losses_of(model, batch)
    return Loss({"examples": Part((losses.sum(1) / kept.sum(1)).mean(), len(batch.targets))})


def two_parts(model: nn.Module, batch: Batch, step: int) -> Loss:
    """Like CTC with attention: a mean over the symbols of sufficiently long sources, and one over the ends of the
    others.

    In some batches the first counts nothing, and its mean is NaN.
    """
    losses, kept = losses_of(model, batch)
    long = (batch.source_mask.sum(1) > 4)[:, None] & kept
    ends = batch.targets == 1
    parts = {
        "long": Part((losses * long).sum() / long.sum(), long.sum(), 0.7),
        "ends": Part((losses * ends).sum() / ends.sum(), int(ends.sum()), 0.3),
    }
    return Loss(parts, {"width": float(batch.targets.shape[1])})


def two_finite_parts(model: nn.Module, batch: Batch, step: int) -> Loss:
    """As `two_parts`, with a mean of 0 if nothing is counted."""
    loss = two_parts(model, batch, step)
    losses, kept = losses_of(model, batch)
    long = (batch.source_mask.sum(1) > 4)[:, None] & kept
    part = loss.parts["long"]._replace(value=(losses * long).sum() / long.sum().clamp(min=1))
    return loss._replace(parts={**loss.parts, "long": part})


def losses_of(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    logits = model(batch.source, batch.source_mask, batch.target_inputs).logits()
    losses = nn.functional.cross_entropy(logits.mT, batch.targets, ignore_index=PAD, reduction="none")
    return losses, batch.targets != PAD


def no_loss(model: nn.Module, batch: Batch, step: int) -> Loss:
    """An objective without a loss in evaluation."""
    return symbols(model, batch, step) if model.training else Loss({})


def spread(model: nn.Module) -> float:
    """A metric computed from the outputs of the model."""
    task = Reversals()
    batch = task.collate(task.examples("validation"))
    return float(model(batch.source, batch.source_mask, batch.target_inputs).logits().std())


class Carrying:
    """A stream whose batches depend on earlier losses, which determine the number of dropped examples."""

    def __init__(self, task: Reversals) -> None:
        self.task, self.state = task, torch.zeros(2)

    def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
        rows = list(self.task.examples("train"))[batch % 7 + int(self.state.sum() * 10) % 5 :][:8]
        return Share(self.task.collate(rows[rank::processes]))

    def after(self, batch: int, loss: Loss) -> None:
        assert not loss.carry[0].requires_grad
        self.state = torch.stack([self.state[1] / 2 + batch % 3, loss.carry[0]])

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state, "size": 2}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state["size"] == 2
        self.state = state["state"]


def carried(model: nn.Module, batch: Batch, step: int) -> Loss:
    loss = symbols(model, batch, step)
    return loss._replace(carry=(loss.value, {"width": 3}))


def stream_of(task: Reversals, config: TrainingConfig) -> ExampleStream:
    return ExampleStream(task, batch_size=config.batch_size, window=config.window, seed=config.seed)


def epoch_of(task: Reversals) -> list[list[int]]:
    """The batches of the first epoch."""
    return stream_of(task, TrainingConfig(**BASE)).epoch(0)


def train(
    path: Path,
    task: Reversals,
    processes: Processes | None = None,
    objective: Any = symbols,
    report: Any = None,
    net: Any = "tied",
    stream: Any = None,
    evaluate: Any = None,
    **changes: Any,
) -> Outcome:
    """Train in the folder, from its checkpoint if there is one."""
    config = TrainingConfig(**(BASE | changes))
    folder, processes = RunFolder(path), (processes or Processes()).in_groups(config.tensor)
    if not folder.checkpoints.exists() and processes.rank == 0:
        folder.create({"system": "tied", "variant": "none", "config": {}, "version": "0"})
    return fit(
        build(net) if isinstance(net, str) else net,
        objective=objective,
        task=task,
        stream=stream or stream_of(task, config),
        config=config,
        folder=folder,
        fingerprint="{}",
        report=report or silent,
        resume=processes.agree(folder.last.exists()),
        processes=processes,
        evaluate=evaluate,
        shards=PLAN,
        blocks=("net.stack.blocks.*",),
    )


def silent(figures: Mapping[str, Any]) -> None:
    pass


def of_two(root: Path) -> None:
    """All trainings with two processes, in one connection."""
    processes, task, few = launched(), Reversals(), Reversals(7)
    follow = partial(train, processes=processes, objective=carried)
    parts = partial(train, processes=processes, accumulate=len(epoch_of(few)), **EXACT)
    with processes.joined("cpu"):
        follow(root / "carried-left", task, stream=Carrying(task), accumulate=2)
        follow(root / "carried-resumed", task, stream=Carrying(task), accumulate=2, steps=PART)
        follow(root / "carried-resumed", task, stream=Carrying(task), accumulate=2)
        for strategy in ("ddp", "fsdp2"):
            try:
                follow(root / "carried-one", task, stream=Carrying(task), strategy=strategy)  # started by one process
            except InvalidInput as error:
                (root / f"refused-{strategy}").write_text(str(error))
            except SystemExit:  # of the second process
                pass
            follow(root / f"carried-{strategy}", task, stream=Carrying(task), strategy=strategy, steps=PART)
        for strategy, other in (("ddp", "fsdp2"), ("fsdp2", "ddp")):
            own = partial(train, processes=processes, strategy=strategy)
            own(root / strategy, task)
            own(root / f"one-{strategy}", task)  # with PART of the steps done
            own(root / f"{strategy}-one", task, steps=PART)
            own(root / f"{strategy}-{other}", task, steps=PART)
            train(root / f"{strategy}-{other}", task, processes, strategy=other)
            own(root / f"{strategy}-unequal", few, accumulate=len(epoch_of(few)), **UNEQUAL)
            own(root / f"{strategy}-examples", few, objective=examples, **UNEQUAL)
            own(root / f"{strategy}-average", task, average=2, steps=PART)
            own(root / f"{strategy}-ema", task, ema=0.8, keep="best", steps=PART)
            own(root / f"{strategy}-attending", task, net="attending")
            own(root / f"{strategy}-metric", task, objective=no_loss, evaluate=spread, keep="best", ema=0.5, steps=PART)
            objective = two_parts if strategy == "ddp" else two_finite_parts
            own(root / f"{strategy}-two-parts", few, objective=objective, **EXACT)
            parts(root / f"{strategy}-two-parts-apart", few, objective=objective, strategy=strategy)
        layouts_of_two(root, processes)


def layouts_of_two(root: Path, processes: Processes) -> None:
    """Two processes that share the layers, alone and between other layouts."""
    task = Reversals()
    own = partial(train, task=task, processes=processes, net="language", precision="float64")
    own(root / "tensor", tensor=2, recompute="blocks")
    own(root / "tensor-single", tensor=2, **SINGLE)
    own(root / "one-tensor", tensor=2)  # with PART of the steps done by one process
    own(root / "tensor-one", tensor=2, steps=PART)
    own(root / "tensor-fsdp2", tensor=2, steps=PART)
    with killed_while_saving():
        own(root / "tensor-fsdp2", strategy="fsdp2")
    own(root / "tensor-fsdp2", strategy="fsdp2", recompute="blocks", steps=40)
    own(root / "tensor-fsdp2", strategy="ddp", recompute="blocks")
    own(root / "tensor-kept", tensor=2, ema=0.8, keep="best", **FEW)
    own(root / "tensor-average", tensor=2, average=2, accumulate=2, **FEW)
    own(root / "tensor-many-symbols", tensor=2, net="many-symbols")
    for strategy in ("ddp", "fsdp2"):
        own(root / f"{strategy}-double", strategy=strategy)


def layouts_of_four(root: Path) -> None:
    """Two groups of two processes."""
    processes, task = launched(), Reversals()
    own = partial(train, task=task, processes=processes, net="language", tensor=2, **PRECISE)
    with processes.joined("cpu"):
        own(root / "four-ddp")
        own(root / "four-fsdp2", strategy="fsdp2", steps=PART)
        if processes.rank == 0:
            shutil.copytree(root / "four-fsdp2", root / "four-part")
        own(root / "four-fsdp2", strategy="fsdp2", recompute="blocks")
        own(root / "four-average", strategy="fsdp2", average=2, accumulate=2, **FEW)
        own(root / "four-single", strategy="fsdp2", steps=PART, **SINGLE)


class Killed(Exception):
    pass


@contextmanager
def killed_while_saving() -> Iterator[None]:
    """End all processes when shards are written, but the checkpoint is not; one of another layout is left, too."""
    write = checkpoint.write_shards

    def killed(folder: Path, tensors: Mapping[str, Tensor]) -> None:
        write(folder, tensors)
        if launched().rank == 0:
            shutil.copy(next(folder.iterdir()), folder / "shard-00009-model-00001-of-00001.safetensors")
        raise Killed

    with patch.object(checkpoint, "write_shards", killed), suppress(Killed):
        yield


def until_lost(run: Path, strategy: str, net: str, patience: float, steps: int) -> None:
    """A training that loses a process; as in the command, the first one reports it."""
    processes, module.STEP = launched(), timedelta(seconds=patience)
    try:
        with processes.joined("cpu"), processes.watched(run):
            train(run, Reversals(), processes, strategy=strategy, net=net, steps=steps)
    except ProcessGone as error:
        sys.exit(f"saccade: {error}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[2:]:
        until_lost(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5]))
    elif launched().count == 4:
        layouts_of_four(Path(sys.argv[1]))
    else:
        of_two(Path(sys.argv[1]))
