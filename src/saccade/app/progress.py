"""Progress of a training: on a terminal a bar with the remaining time, otherwise occasional lines.

A terminal with NO_COLOR or TERM=dumb gets lines too.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from saccade.app.terminal import plain
from saccade.core.errors import require

FIGURES = (
    ("loss", "loss {:.3f}"), ("validation_loss", "validation loss {:.3f}"),
    ("validation_metric", "validation metric {:.3f}"), ("counted_per_second", "{:,.0f}/s"),
)  # fmt: skip


def describe(figures: Mapping[str, Any]) -> str:
    """The figures of one line of the metrics as text."""
    return "  ".join(form.format(figures[name]) for name, form in FIGURES if name in figures)


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


@contextmanager
def progress(steps: int) -> Iterator[Any]:
    """Yields the function that `fit` reports to."""
    if plain(sys.stderr):
        yield Lines(steps)
        return
    console = require("rich.console", "app").Console(stderr=True)
    rich: Any = require("rich.progress", "app")
    columns = (
        rich.BarColumn(bar_width=30), rich.MofNCompleteColumn(), rich.TextColumn("{task.fields[left]}"),
        rich.TextColumn("{task.fields[figures]}"),
    )  # fmt: skip
    with rich.Progress(*columns, console=console, transient=True) as bar:
        row = bar.add_task("training", total=steps, left="", figures="")
        pace, latest = Pace(steps), dict[str, Any]()

        def report(figures: Mapping[str, Any]) -> None:
            latest.update(figures)
            step = figures["step"]
            bar.update(row, completed=step, left=pace.left(step), figures=describe(latest))

        yield report


class Pace:
    """The remaining time, from the mean duration of all steps since the command started."""

    def __init__(self, steps: int) -> None:
        self.steps, self.first, self.begun = steps, 0, 0.0

    def left(self, step: int) -> str:
        """Such as "4:10 left"; empty at the first call."""
        now = time.monotonic()
        if not self.begun:
            self.first, self.begun = step, now
        if step == self.first or step >= self.steps:
            return ""
        return f"{duration((now - self.begun) / (step - self.first) * (self.steps - step))} left"


class Lines:
    """Prints a line for each tenth of the steps and each validation."""

    def __init__(self, steps: int) -> None:
        self.steps, self.tenth, self.pace = steps, -1, Pace(steps)

    def __call__(self, figures: Mapping[str, Any]) -> None:
        step = figures["step"]
        left = self.pace.left(step)
        tenth = 10 * step // self.steps
        if tenth == self.tenth and "validation_loss" not in figures:
            return
        self.tenth = tenth
        print(f"step {step}/{self.steps}  {describe(figures)}  {left}".rstrip(), flush=True)
