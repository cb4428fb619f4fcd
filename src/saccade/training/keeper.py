"""What happens between two steps of a training, in this order: metrics, validation, checkpoint, a stop if asked for.

What a resumed run needs beyond the engine's own state is added to its checkpoints here.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Loss
from saccade.training.config import TrainingConfig
from saccade.training.device import autocast, to_device
from saccade.training.optimizers import rate_at
from saccade.training.processes import Processes
from saccade.training.random_state import derived, random_state, restore_random_state, seed_everything
from saccade.training.run_folder import RunFolder, ties

Objective = Callable[[nn.Module, Any, int], Loss]
Report = Callable[[Mapping[str, Any]], None]
Update = tuple[Tensor, Mapping[str, Tensor]]  # the loss of an update and its logs, means over all its tokens


class Keeper(Callback):
    """What happens between steps, in this order: metrics, validation, checkpoint, and a stop if one was asked for."""

    def __init__(
        self, folder: RunFolder, validation: list[Any], fingerprint: str, report: Report, processes: Processes
    ) -> None:
        self.folder, self.validation, self.fingerprint, self.report = folder, validation, fingerprint, report
        self.processes = processes
        self.best, self.waited = float("inf"), 0  # validations since the best one
        self.seconds = 0.0
        self.ended = False
        self.restored: dict[str, Any] | None = None
        self.clock = time.perf_counter()
        self.window: list[Update] = []
        self.since = self.clock

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        if self.processes.rank == 0:
            self.folder.start_metrics(trainer.global_step)
            self.keep_earlier(trainer.global_step, module.config)
        for group in trainer.optimizers[
            0
        ].param_groups:  # that of the schedule as it is now: the steps may have changed
            group["lr"] = module.config.learning_rate * rate_at(module.config, trainer.global_step)
        self.clock = self.since = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, index: int) -> None:
        if self.restored is not None:
            restore_random_state(self.restored)
            self.restored = None

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if (index + 1) % module.config.accumulate:
            return
        self.window.append(module.update)
        step, config = trainer.global_step, module.config
        if step % config.log_every == 0 or step == config.steps:
            self.record(trainer, step, self.training_figures(trainer, config))
        if step % config.validate_every == 0 or step == config.steps:
            self.validate(trainer, module, step)
        self.ended = step == config.steps or (config.patience is not None and self.waited >= config.patience)
        if step % config.checkpoint_every == 0 or self.ended or module.stopping:
            self.tick()  # so that the checkpoint has the seconds up to here
            self.check_finite(trainer)
            trainer.save_checkpoint(self.folder.last)
            if self.processes.rank == 0:
                self.keep_earlier(step, config)
        trainer.should_stop = trainer.should_stop or self.ended or module.stopping

    def keep_earlier(self, step: int, config: TrainingConfig) -> None:
        """Of the weights to be averaged keep the last ones up to a step, as a run that was never stopped has them."""
        files = self.folder.earlier()
        last = step if self.ended else config.steps
        kept = [at for at in files if at <= step and (at % config.checkpoint_every == 0 or at == last)]
        for at, path in files.items():
            if at not in kept[-config.average :]:
                path.unlink()

    def training_figures(self, trainer: Trainer, config: TrainingConfig) -> dict[str, float]:
        """Means over the updates since the last line; what counts something (`tokens`) also as a rate."""
        self.check_finite(trainer)
        now = time.perf_counter()
        losses = numbers(loss for loss, _ in self.window)
        rate = config.learning_rate * rate_at(config, trainer.global_step - 1)
        figures = {"loss": float(losses.mean()), "learning_rate": rate}
        for name in self.window[0][1]:
            values = numbers(logs[name] for _, logs in self.window)
            figures[name if name != "tokens" else "tokens_per_second"] = float(
                values.mean() if name != "tokens" else values.sum() / max(now - self.since, 1e-9)
            )
        self.window, self.since = [], now
        return figures

    def check_finite(self, trainer: Trainer) -> None:
        """Before a line is written, and before a good checkpoint is replaced."""
        if not bool(numbers(loss for loss, _ in self.window).isfinite().all()):
            with self.processes.common():
                raise InvalidInput(
                    f"the loss is not finite at step {trainer.global_step}; "
                    "try a smaller --training.learning-rate or --training.clip"
                )

    def validate(self, trainer: Trainer, module: Any, step: int) -> None:
        """Mean loss over the validation split, each example's share its tokens where the objective counts them."""
        started = time.perf_counter()
        with autocast(module.config.precision, module.device):
            loss = mean_loss(module, self.validation, module.device, step, self.processes)
        self.record(trainer, step, {"validation_loss": loss})
        better = loss < self.best
        self.best, self.waited = min(self.best, loss), 0 if better else self.waited + 1
        if better and module.config.keep == "best":
            trainer.save_checkpoint(self.folder.best)
        self.since += time.perf_counter() - started

    def record(self, trainer: Trainer, step: int, figures: Mapping[str, float]) -> None:
        if self.processes.rank:
            return
        self.folder.log({"step": step, **figures})
        for logger in trainer.loggers:
            logger.log_metrics(dict(figures), step)
        self.report({"step": step, **figures})

    def tick(self) -> float:
        now = time.perf_counter()
        self.seconds, self.clock = self.seconds + now - self.clock, now
        return self.seconds

    def on_save_checkpoint(self, trainer: Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        # the running means of the metrics are part of the state: a resumed run writes the same lines
        window = [[loss.item(), {name: float(log) for name, log in logs.items()}] for loss, logs in self.window]
        random, *others = self.processes.gather(random_state())
        checkpoint["saccade"] = {
            "random": random,
            "others": others,  # the random state of the other processes
            "best": self.best,
            "waited": self.waited,
            "seconds": self.seconds,
            "config": self.fingerprint,
            "window": window,
        }
        config, step = module.config, trainer.global_step
        if config.average > 1 and self.processes.rank == 0 and (self.ended or step % config.checkpoint_every == 0):
            # before the checkpoint itself: one that is there has its weights beside it
            weights = {name.removeprefix("model."): tensor for name, tensor in checkpoint["state_dict"].items()}
            self.folder.save_earlier(step, weights, ties(module.model))

    def on_load_checkpoint(self, trainer: Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        kept = checkpoint["saccade"]
        self.best, self.seconds, self.waited = kept["best"], kept["seconds"], kept.get("waited", 0)
        states = [kept["random"], *kept.get("others", [])]
        if len(states) == self.processes.count:
            self.restored = states[self.processes.rank]
        else:  # as many processes as there were have their state; now there are more, or fewer
            seed_everything(derived(module.config.seed, self.processes.rank, checkpoint["global_step"]))
        self.window = [
            (torch.tensor(loss, dtype=torch.float64), {name: torch.tensor(log) for name, log in logs.items()})
            for loss, logs in kept["window"]
        ]


def numbers(tensors: Iterable[Tensor]) -> Tensor:
    """Scalars of any device and precision, those of a checkpoint among them, as one float64 tensor."""
    return torch.tensor([float(tensor) for tensor in tensors], dtype=torch.float64)


def weight_of(loss: Loss, examples: int) -> float:
    """What a mean over a batch counts in a mean over several: its tokens, where the objective says how many."""
    return float(loss.logs.get("tokens", examples)) if examples else 0.0


@torch.no_grad()
def mean_loss(module: Any, shares: Sequence[Any], device: torch.device, step: int, processes: Processes) -> float:
    """The mean over all batches, of which each process takes its part; added up in the order of one process."""
    was_training = module.model.training
    module.model.eval()
    rows = [[0.0, 0.0] for _ in shares]
    # as many batches for each, since a sharded model needs all processes for each; what is too many counts nothing
    for place in range(processes.rank, -(-len(shares) // processes.count) * processes.count, processes.count):
        batch, examples = shares[place % len(shares)]
        loss = module(to_device(batch, device), step)
        if place < len(shares):
            weight = weight_of(loss, examples)
            rows[place] = [float(loss.value) * weight, weight]
    module.model.train(was_training)
    total = weight = 0.0
    for part, share in processes.total(rows):
        total, weight = total + part, weight + share
    if not weight:
        raise InvalidInput("the examples of the validation have nothing that the loss counts")
    return total / weight
