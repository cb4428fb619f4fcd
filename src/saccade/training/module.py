"""A model and its objective as the training engine (Lightning's Trainer) wants them.

Of an update that is spread over processes or over batches the gradient is that of the mean over all of its tokens.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from saccade.core.recipe import Loss
from saccade.training.config import TrainingConfig
from saccade.training.device import to_device
from saccade.training.keeper import Objective, Update, weight_of
from saccade.training.optimizers import build_optimizer, rate_at
from saccade.training.processes import Processes
from saccade.training.sharding import shard


class Share(NamedTuple):
    """What one process has of a batch, and how many examples that is: 0 where it takes part for form's sake."""

    batch: Any
    examples: int


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
        if self.on_signal is not None:
            # the engine's own handler ends without a checkpoint; and of several processes it would broadcast, in the
            # midst of whatever they are exchanging
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
        total = total or 1.0  # of an update without any token the gradient and the figures are zero as they are
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


@contextmanager
def interruptible(module: Fit) -> Iterator[None]:
    """The first Ctrl-C, or SIGTERM, ends the run after its step, with a checkpoint; a second one is an ordinary one.

    Of several processes each gets it more than once, from the terminal and from torchrun.
    """

    def stop(number: int, frame: Any) -> None:
        module.stop = True
        if module.processes.alone:
            signal.signal(number, previous[signal.Signals(number)])

    try:
        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: nobody can press it
        yield
        return
    module.on_signal = stop
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
