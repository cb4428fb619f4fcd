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
from saccade.training.random_state import random_state, restore_random_state
from saccade.training.run_folder import RunFolder

Objective = Callable[[nn.Module, Any, int], Loss]
Report = Callable[[Mapping[str, Any]], None]


class Keeper(Callback):
    """What happens between steps, in this order: metrics, validation, checkpoint, and a stop if one was asked for."""

    def __init__(self, folder: RunFolder, validation: list[Any], fingerprint: str, report: Report) -> None:
        self.folder, self.validation, self.fingerprint, self.report = folder, validation, fingerprint, report
        self.best = float("inf")
        self.seconds = 0.0
        self.stop = False
        self.restored: dict[str, Any] | None = None
        self.clock = time.perf_counter()
        self.window: list[tuple[Tensor, Mapping[str, Tensor]]] = []
        self.since = self.clock

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        self.folder.start_metrics(trainer.global_step)
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
        self.window.append((outputs["loss"].detach(), outputs["logs"]))
        if (index + 1) % module.config.accumulate:
            return
        step, config = trainer.global_step, module.config
        if step % config.log_every == 0 or step == config.steps:
            self.record(trainer, step, self.training_figures(trainer, config))
        if step % config.validate_every == 0 or step == config.steps:
            self.validate(trainer, module, step)
        if step % config.checkpoint_every == 0 or step == config.steps or self.stop:
            self.tick()
            self.check_finite(trainer)
            trainer.save_checkpoint(self.folder.last)
        trainer.should_stop = trainer.should_stop or self.stop

    def training_figures(self, trainer: Trainer, config: TrainingConfig) -> dict[str, float]:
        """Means over the batches since the last line; what counts something (`tokens`) also as a rate."""
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
            raise InvalidInput(
                f"the loss is not finite at step {trainer.global_step}; "
                "try a smaller --training.learning-rate or --training.clip"
            )

    def validate(self, trainer: Trainer, module: Any, step: int) -> None:
        """Mean loss over the validation split, each example's share its tokens where the objective counts them."""
        started = time.perf_counter()
        with autocast(module.config.precision, module.device):
            loss = mean_loss(module.model, module.objective, self.validation, module.device, step)
        self.record(trainer, step, {"validation_loss": loss})
        if loss < self.best and module.config.keep == "best":
            self.best = loss
            trainer.save_checkpoint(self.folder.best)
        self.best = min(self.best, loss)
        self.since += time.perf_counter() - started

    def record(self, trainer: Trainer, step: int, figures: Mapping[str, float]) -> None:
        self.folder.log({"step": step, **figures})
        for logger in trainer.loggers:
            logger.log_metrics(dict(figures), step)
        self.report({"step": step, **figures})

    def tick(self) -> None:
        now = time.perf_counter()
        self.seconds, self.clock = self.seconds + now - self.clock, now

    def on_save_checkpoint(self, trainer: Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        # the running means of the metrics are part of the state: a resumed run writes the same lines
        window = [[loss.item(), {name: float(log) for name, log in logs.items()}] for loss, logs in self.window]
        checkpoint["saccade"] = {
            "random": random_state(),
            "best": self.best,
            "seconds": self.seconds,
            "config": self.fingerprint,
            "window": window,
        }

    def on_load_checkpoint(self, trainer: Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        kept = checkpoint["saccade"]
        self.restored, self.best, self.seconds = kept["random"], kept["best"], kept["seconds"]
        self.window = [
            (torch.tensor(loss, dtype=torch.float64), {name: torch.tensor(log) for name, log in logs.items()})
            for loss, logs in kept["window"]
        ]


def numbers(tensors: Iterable[Tensor]) -> Tensor:
    """Scalars of any device and precision, those of a checkpoint among them, as one float64 tensor."""
    return torch.tensor([float(tensor) for tensor in tensors], dtype=torch.float64)


@torch.no_grad()
def mean_loss(model: nn.Module, objective: Objective, batches: Sequence[Any], device: torch.device, step: int) -> float:
    was_training = model.training
    model.eval()
    total = weight = 0.0
    for batch in batches:
        loss = objective(model, to_device(batch, device), step)
        share = float(loss.logs.get("tokens", 1))
        total, weight = total + float(loss.value) * share, weight + share
    model.train(was_training)
    return total / weight
