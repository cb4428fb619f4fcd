"""The metrics of a training, written to metrics.jsonl, TensorBoard, and the caller's report."""

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map

from saccade.core.errors import require
from saccade.training.run_folder import RunFolder
from saccade.training.update import Update

Report = Callable[[Mapping[str, Any]], None]


class Metrics:
    """Means over the updates since the last line, written by the first process.

    Args:
        folder: the run; None in the other processes.
        start: the number of earlier steps.
        window: the result of `state`, for the updates since the last line.
    """

    def __init__(self, folder: RunFolder | None, report: Report, start: int, window: Sequence[Sequence[Any]]) -> None:
        self.folder, self.report = folder, report
        self.window = [Update(*row) for row in window]
        self.since = time.perf_counter()
        if folder is not None:
            require("tensorboard", "app")
            from torch.utils.tensorboard import SummaryWriter

            folder.start_metrics(start)
            self.board = SummaryWriter(str(folder.path / "tensorboard"), purge_step=start + 1)

    def figures(self) -> dict[str, float]:
        """The means since the last call, each over the updates with a count above 0."""
        now, found = time.perf_counter(), defaultdict[str, list[Any]](list)
        counted = [update for update in self.window if update.loss is not None]
        for update in counted:
            for name, value in {"loss": update.loss, **update.parts, **update.logs}.items():
                found[name].append(value)
        figures = {name: statistics.fmean(map(float, values)) for name, values in found.items()}
        figures["counted_per_second"] = sum(update.counted for update in counted) / max(now - self.since, 1e-9)
        self.window, self.since = [], now
        return figures

    def finite(self) -> bool:
        """Whether all losses since the last line are finite."""
        return all(math.isfinite(update.loss) for update in self.window if update.loss is not None)

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        if self.folder is not None:
            self.folder.log({"step": step, **figures})
            for name, value in figures.items():
                self.board.add_scalar(name, value, step)
            self.report({"step": step, **figures})

    def close(self) -> None:
        if self.folder is not None:
            self.board.close()

    def state(self) -> list[Any]:
        """The state that a resumed run needs to write the same lines."""
        return tree_map(lambda own: own.item() if isinstance(own, Tensor) else own, [list(u) for u in self.window])  # type: ignore[no-any-return]
