"""The one adapter to the training engine (Lightning's Trainer). It knows a model, an objective and examples.

A run that is killed at any moment goes on from its last checkpoint and ends, on a CPU, bit-identical to one that was
not: the batch of a step is a function of seed and step, and weights, optimizer, schedule and random state are in the
checkpoint.
"""

import json
import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from saccade.core.config import flatten
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Loss, Task
from saccade.training.checkpoint import AtomicCheckpointIO, read_checkpoint
from saccade.training.config import TrainingConfig
from saccade.training.device import pick_device, to_device
from saccade.training.keeper import Keeper, Objective, Report, Update, weight_of
from saccade.training.optimizers import build_optimizer, rate_at
from saccade.training.processes import Processes
from saccade.training.random_state import derived, seed_everything
from saccade.training.run_folder import RunFolder, check_fit, read_tensors
from saccade.training.sampler import BatchSampler, in_order
from saccade.training.sharding import separate_layers, shard, strategy

ALONE = Processes()
PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float64": "64-true"}


class Share(NamedTuple):
    """What one process has of a batch, and how many examples that is: 0 where it takes part for form's sake."""

    batch: Any
    examples: int


class Outcome(NamedTuple):
    """Of a training: whether it came to its end, its steps, and its seconds, earlier parts of the run included."""

    done: bool
    steps: int
    seconds: float
    before: int
    """Steps of those earlier parts."""


class Fit(LightningModule):
    """A model and its objective, as the engine wants them."""

    def __init__(self, model: nn.Module, objective: Objective, config: TrainingConfig, processes: Processes) -> None:
        super().__init__()
        self.model, self.objective, self.config, self.processes = model, objective, config, processes
        self.whole = processes.alone and config.accumulate == 1  # a batch is an update
        self.parts: list[tuple[float, Tensor, dict[str, Tensor]]] = []
        self.update: Update | None = None
        self.stop = self.stopping = False  # asked for here; by any process
        self.on_signal: Any = None
        self.layers: list[nn.Module] = []  # those that are sharded apart

    def configure_model(self) -> None:
        if self.device_mesh is not None:  # the engine made one for FSDP2
            mesh = self.device_mesh["data_parallel"]
            self.processes.hurry(mesh.get_group())
            shard(self, self.layers, mesh)

    def on_train_start(self) -> None:
        if self.on_signal is not None and not self.processes.alone:
            # the engine's own handler would broadcast, in the midst of whatever the processes are exchanging
            signal.signal(signal.SIGTERM, self.on_signal)

    def forward(self, batch: Any, step: int) -> Loss:
        return self.objective(self.model, batch, step)

    def training_step(self, share: Share, index: int) -> dict[str, Any]:
        loss = self(share.batch, self.global_step)
        value, logs = loss.value, {name: torch.as_tensor(log).detach() for name, log in loss.logs.items()}
        if self.whole:
            self.update, self.stopping = (value.detach(), logs), self.stop
            return {"loss": value}
        weight = weight_of(loss, share.examples)
        self.parts.append((weight, value.detach(), logs))
        return {"loss": value * weight}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Make the gradient of a sum over tokens that of the mean over all of this update, wherever they were."""
        if self.whole:
            return
        names = list(self.parts[0][2])
        rows = [
            [weight, weight * float(value), *(float(logs[n]) * (n == "tokens" or weight) for n in names)]
            for weight, value, logs in self.parts
        ]
        self.parts = []
        total, loss, *sums, stop = self.processes.total([*map(sum, zip(*rows, strict=True)), float(self.stop)])
        # the engine took means over the processes and over the batches
        scale = self.processes.count * self.config.accumulate / total
        for group in optimizer.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.grad.mul_(scale)
        figures = {n: torch.tensor(s if n == "tokens" else s / total) for n, s in zip(names, sums, strict=True)}
        self.update, self.stopping = (torch.tensor(loss / total, dtype=torch.float64), figures), bool(stop)

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.config, self.model.parameters())
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(self.config, step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, share: Share, device: torch.device, dataloader_idx: int) -> Share:
        return share._replace(batch=to_device(share.batch, device))


def fit(
    model: nn.Module,
    objective: Objective,
    task: Task,
    config: TrainingConfig,
    folder: RunFolder,
    fingerprint: str,
    report: Report,
    resume: bool = False,
    processes: Processes = ALONE,
) -> Outcome:
    """Train until `config.steps`, or until Ctrl-C; then the weights to keep are in the folder.

    Of several processes each calls this with the same arguments, and takes its share of every batch; the first writes.
    The model may be in shards afterwards: build it anew, and load the weights.

    Args:
        fingerprint: the configuration as text; a checkpoint of another one is refused by `check_resumable`.
        report: called with each line of the metrics, which holds `step`, in the first process.
        resume: go on from the last checkpoint, or from the start where there is none.
    """
    quiet()
    examples, validation = task.examples("train"), task.examples("validation")
    batches, rank, count = config.steps * config.accumulate, processes.rank, processes.count
    sampler = BatchSampler([task.cost(e) for e in examples], config.batch_tokens, config.window, config.seed, batches)
    checkpoint = folder.last if resume and folder.last.exists() else None
    ended = None  # the steps of a run that ended early, and has nothing left to do
    if rank:  # dropout of its own; the first draws what one process would
        seed_everything(derived(config.seed, rank, 0))
    if checkpoint is not None:
        with processes.common():
            kept = read_checkpoint(checkpoint)
            check_fit(model, {n.removeprefix("model."): t for n, t in kept["state_dict"].items()}, str(checkpoint))
            if kept["global_step"] > config.steps:
                raise InvalidInput(
                    f"{folder.path} has done {kept['global_step']} steps; it cannot end after {config.steps}"
                )
            if config.average > 1:  # told now, and not when they are averaged
                for path in folder.earlier().values():
                    read_tensors(path)
        sampler.start = kept["global_step"] * config.accumulate
        if config.patience is not None and kept["saccade"].get("waited", 0) >= config.patience:
            ended = kept["global_step"]

    def share(rows: list[Any]) -> Share:
        own = rows[rank::count]
        return Share(task.collate(own or rows[:1]), len(own))

    held = [task.cost(example) for example in validation]
    validation_batches = [
        Share(task.collate([validation[i] for i in batch]), len(batch)) for batch in in_order(held, config.batch_tokens)
    ]
    loader: Any = DataLoader(Examples(examples), batch_sampler=sampler, collate_fn=share, generator=torch.Generator())
    module = Fit(model, objective, config, processes)
    if config.strategy == "fsdp2" and not processes.alone:
        module.layers = separate_layers(model, lambda: objective(model, task.collate(examples[:1]), 0))
    keeper = Keeper(folder, validation_batches, fingerprint, report, processes)
    if ended is None:
        trainer = trainer_for(config, keeper, sampler.start)
        processes.hurry()
        with interruptible(module):
            trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
        steps, seconds = trainer.global_step, keeper.tick()
    else:
        steps, seconds = ended, kept["saccade"]["seconds"]
    done = ended is not None or keeper.ended or steps >= config.steps
    if rank == 0:
        if done:
            folder.save_weights(model, final_weights(folder, config))
        folder.write_csv()
    return Outcome(done, steps, seconds, sampler.start // config.accumulate)


def final_weights(folder: RunFolder, config: TrainingConfig) -> dict[str, Tensor]:
    """The weights to keep, of a run that came to its end."""
    if config.average > 1:
        return folder.mean_of_earlier(config.average)
    best = config.keep == "best" and folder.best.exists()
    weights = read_checkpoint(folder.best if best else folder.last)["state_dict"]
    return {name.removeprefix("model."): tensor for name, tensor in weights.items()}


def trainer_for(config: TrainingConfig, keeper: Keeper, start: int) -> Trainer:
    """The engine, silent, with our checkpoints, metrics and validation in place of its own."""
    folder, sharing = keeper.folder, strategy(config.strategy, keeper.processes)
    first = keeper.processes.rank == 0
    arguments: dict[str, Any] = {"devices": devices(config.device)} | sharing
    arguments["plugins"] = [AtomicCheckpointIO(), *sharing["plugins"]]
    return Trainer(
        **arguments,
        accelerator=accelerator(config.device),
        precision=PRECISION[config.precision],
        max_steps=config.steps,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip,
        logger=TensorBoardLogger(folder.path, name="", version="tensorboard", purge_step=start + 1) if first else False,
        callbacks=[keeper],
        default_root_dir=folder.path,
        log_every_n_steps=config.log_every,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


class Examples(torch.utils.data.Dataset[Any]):
    def __init__(self, examples: Sequence[Any]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Any:
        return self.examples[index]


def check_resumable(folder: RunFolder, fingerprint: str, free: Sequence[str]) -> None:
    """Raise where the run was made under another configuration, or on other data.

    Raises:
        InvalidInput: naming what differs, the free fields aside.
    """
    made = [flatten(folder.head()["config"])]
    if folder.last.exists():
        made.append(flatten(json.loads(read_checkpoint(folder.last)["saccade"]["config"])))
    now = flatten(json.loads(fingerprint))
    for then in made:
        for name in sorted(set(then) & set(now)):
            if name not in free and then[name] != now[name]:
                raise InvalidInput(
                    f"{folder.path} was trained with {name} = {then[name]}, not {now[name]}; "
                    f"only {', '.join(free)} may change in a run that goes on"
                )


def accelerator(device: str) -> str:
    kind = pick_device(device).type
    return "gpu" if kind == "cuda" else kind


def devices(device: str) -> Any:
    chosen = pick_device(device)
    return 1 if chosen.type == "cpu" or chosen.index is None else [chosen.index]


def quiet() -> None:
    """The engine's tips and notices are about the engine, not about the user's run."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")


@contextmanager
def interruptible(module: Fit) -> Iterator[None]:
    """The first Ctrl-C ends the run after its step, with a checkpoint; a second one is an ordinary one.

    Of several processes each gets it more than once, from the terminal and from torchrun, which also sends SIGTERM.
    """

    def stop(number: int, frame: Any) -> None:
        module.stop = True
        if module.processes.alone:
            signal.signal(number, previous[signal.Signals(number)])

    numbers = [signal.SIGINT] if module.processes.alone else [signal.SIGINT, signal.SIGTERM]
    try:
        previous = {number: signal.signal(number, stop) for number in numbers}
    except ValueError:  # not in the main thread: nobody can press it
        yield
        return
    module.on_signal = stop
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
