"""The metrics of a training: a line of metrics.jsonl now and then, TensorBoard, and whoever wants to hear of them."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from saccade.core.errors import require
from saccade.training.run_folder import RunFolder
from saccade.training.update import Update

Report = Callable[[Mapping[str, Any]], None]


class Metrics:
    """Means over the updates since the last line, written by the first process.

    Args:
        folder: the run; None in the other processes.
        start: the steps that were done before.
        window: what `state` gave of the updates since the last line.
    """

    def __init__(self, folder: RunFolder | None, report: Report, start: int, window: list[list[Any]]) -> None:
        self.folder, self.report = folder, report
        self.window = [Update(*row) for row in window]
        self.since = time.perf_counter()
        if folder is not None:
            require("tensorboard", "app")
            from torch.utils.tensorboard import SummaryWriter

            folder.start_metrics(start)
            self.board = SummaryWriter(str(folder.path / "tensorboard"), purge_step=start + 1)

    def figures(self) -> dict[str, float]:
        """Means since they were last asked for, each over the updates that counted something."""
        now = time.perf_counter()
        counted = [update for update in self.window if update.loss is not None]
        figures = {"loss": mean([update.loss for update in counted])} if counted else {}
        for name in dict.fromkeys(name for update in counted for name in update.parts):
            figures[name] = mean([update.parts[name] for update in counted if name in update.parts])
        for name in dict.fromkeys(name for update in counted for name in update.logs):
            figures[name] = mean([update.logs[name] for update in counted if name in update.logs])
        figures["counted_per_second"] = sum(update.counted for update in counted) / max(now - self.since, 1e-9)
        self.window, self.since = [], now
        return figures

    def finite(self) -> bool:
        """Whether all losses since the last line are numbers."""
        losses = [float(update.loss) for update in self.window if update.loss is not None]
        return bool(torch.tensor(losses).isfinite().all())

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        if self.folder is None:
            return
        self.folder.log({"step": step, **figures})
        for name, value in figures.items():
            self.board.add_scalar(name, value, step)
        self.report({"step": step, **figures})

    def close(self) -> None:
        if self.folder is not None:
            self.board.close()

    def state(self) -> list[list[Any]]:
        """What a resumed run needs so that it writes the same lines."""
        return [
            [
                update.counted,
                None if update.loss is None else float(update.loss),
                plain(update.parts),
                plain(update.logs),
            ]
            for u in self.window
        ]


def mean(numbers: list[Any]) -> float:
    """Of numbers and scalars of any device and precision."""
    return float(torch.tensor([float(number) for number in numbers], dtype=torch.float64).mean())


def plain(numbers: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(number) for name, number in numbers.items()}
