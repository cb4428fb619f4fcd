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


def describe(figures: Mapping[str, Any]) -> str:
    """The figures of one line of the metrics as text."""
    parts = []
    for name, digits in (("loss", ".3f"), ("validation_loss", ".3f"), ("tokens_per_second", ",.0f")):
        if name in figures:
            parts.append(f"{name.replace('_', ' ').replace('tokens per second', 'tokens/s')} {figures[name]:{digits}}")
    return "  ".join(parts)


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
        rich.BarColumn(bar_width=30), rich.MofNCompleteColumn(), rich.TextColumn("left"), rich.TimeRemainingColumn(),
        rich.TextColumn("{task.fields[figures]}"),
    )  # fmt: skip
    with rich.Progress(*columns, console=console, transient=True) as bar:
        row = bar.add_task("training", total=steps, figures="")
        latest: dict[str, Any] = {}

        def report(figures: Mapping[str, Any]) -> None:
            latest.update(figures)
            bar.update(row, completed=figures["step"], figures=describe(latest))

        yield report


class Lines:
    """Prints a line for each tenth of the steps and each validation."""

    def __init__(self, steps: int) -> None:
        self.steps, self.tenth, self.first = steps, -1, None
        self.begun = time.monotonic()

    def __call__(self, figures: Mapping[str, Any]) -> None:
        step = figures["step"]
        if self.first is None:
            self.first, self.begun = step, time.monotonic()
        tenth = 10 * step // self.steps
        if tenth == self.tenth and "validation_loss" not in figures:
            return
        self.tenth = tenth
        done = step - self.first
        left = (time.monotonic() - self.begun) / done * (self.steps - step) if done else None
        rest = f"  {duration(left)} left" if left else ""
        print(f"step {step}/{self.steps}  {describe(figures)}{rest}", flush=True)
