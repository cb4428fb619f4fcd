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
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader

from saccade.core.config import flatten
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Task
from saccade.training.checkpoint import AtomicCheckpointIO, read_checkpoint
from saccade.training.config import TrainingConfig
from saccade.training.device import pick_device, to_device
from saccade.training.keeper import Keeper, Objective, Report
from saccade.training.optimizers import build_optimizer, rate_at
from saccade.training.run_folder import RunFolder, check_fit
from saccade.training.sampler import BatchSampler, in_order

PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float64": "64-true"}


class Fit(LightningModule):
    """A model and its objective, as the engine wants them."""

    def __init__(self, model: nn.Module, objective: Objective, config: TrainingConfig) -> None:
        super().__init__()
        self.model, self.objective, self.config = model, objective, config

    def training_step(self, batch: Any, index: int) -> dict[str, Any]:
        loss = self.objective(self.model, batch, self.global_step)
        return {"loss": loss.value, "logs": {name: torch.as_tensor(log).detach() for name, log in loss.logs.items()}}

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.config, self.model.parameters())
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(self.config, step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return to_device(batch, device)


def fit(
    model: nn.Module,
    objective: Objective,
    task: Task,
    config: TrainingConfig,
    folder: RunFolder,
    fingerprint: str,
    report: Report,
    resume: bool = False,
) -> tuple[bool, float]:
    """Train until `config.steps`, or until Ctrl-C; then the weights to keep are in the model and in the folder.

    Args:
        fingerprint: the configuration as text; a checkpoint of another one is refused by `check_resumable`.
        report: called with each line of the metrics, which holds `step`.
        resume: go on from the last checkpoint, or from the start where there is none.

    Returns:
        Whether it came to its end, and the seconds of training, earlier parts of the run included.
    """
    quiet()
    examples, validation = task.examples("train"), task.examples("validation")
    batches = config.steps * config.accumulate
    sampler = BatchSampler([task.cost(e) for e in examples], config.batch_tokens, config.window, config.seed, batches)
    checkpoint = folder.last if resume and folder.last.exists() else None
    if checkpoint is not None:
        kept = read_checkpoint(checkpoint)
        check_fit(model, {n.removeprefix("model."): t for n, t in kept["state_dict"].items()}, str(checkpoint))
        if kept["global_step"] > config.steps:
            raise InvalidInput(
                f"{folder.path} has done {kept['global_step']} steps; it cannot end after {config.steps}"
            )
        sampler.start = kept["global_step"] * config.accumulate
    held = [task.cost(example) for example in validation]
    validation_batches = [task.collate([validation[i] for i in batch]) for batch in in_order(held, config.batch_tokens)]
    loader: Any = DataLoader(
        Examples(examples), batch_sampler=sampler, collate_fn=task.collate, generator=torch.Generator()
    )
    keeper = Keeper(folder, validation_batches, fingerprint, report)
    trainer = trainer_for(config, keeper, sampler.start)
    with interruptible(keeper):
        trainer.fit(Fit(model, objective, config), loader, ckpt_path=checkpoint, weights_only=True)
    done = trainer.global_step >= config.steps
    if done:
        if config.keep == "best" and folder.best.exists():
            weights = read_checkpoint(folder.best)["state_dict"]
            model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in weights.items()})
        folder.save_weights(model)
    folder.write_csv()
    keeper.tick()
    return done, keeper.seconds


def trainer_for(config: TrainingConfig, keeper: Keeper, start: int) -> Trainer:
    """The engine, silent, with our checkpoints, metrics and validation in place of its own."""
    folder = keeper.folder
    return Trainer(
        accelerator=accelerator(config.device),
        devices=devices(config.device),
        precision=PRECISION[config.precision],
        max_steps=config.steps,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip,
        logger=TensorBoardLogger(folder.path, name="", version="tensorboard", purge_step=start + 1),
        callbacks=[keeper],
        plugins=[AtomicCheckpointIO()],
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
def interruptible(keeper: Keeper) -> Iterator[None]:
    """The first Ctrl-C ends the run after its step, with a checkpoint; a second one is an ordinary one."""

    def stop(number: int, frame: Any) -> None:
        keeper.stop = True
        signal.signal(signal.SIGINT, previous)

    try:
        previous = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not in the main thread: nobody can press it
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
