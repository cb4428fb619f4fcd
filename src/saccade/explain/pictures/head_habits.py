"""What each head of each layer does: how much of its attention is on the token itself, on those beside it, on the first
token and on separators, and the entropy. Clark et al. 2019, arXiv:1906.04341, figure 2."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.core.task import Figure
from saccade.explain import plots, terminal
from saccade.explain.plots.arrays import numbers, rounded
from saccade.explain.text import flow

ENTROPY, NATS, SHARE = "entropy", "nats", "share of the attention"


@dataclass(frozen=True, eq=False)
class HeadHabits:
    """A number for each head of each layer, in several tables.

    Raises:
        InvalidInput: no tables, tables of different shapes, or numbers that are below 0 or not finite.
    """

    name: str
    tables: Mapping[str, Any]
    """The name of a habit -> (layers, heads), a tensor or lists: shares from 0 to 1; of "entropy" nats."""
    title: str = ""

    def __post_init__(self) -> None:
        found = {habit: numbers(table) for habit, table in self.tables.items()}
        shapes = sorted({table.shape for table in found.values()})
        if len(shapes) != 1 or len(shapes[0]) != 2 or 0 in shapes[0]:
            raise InvalidInput(f"expected tables (layers, heads), all of one shape; got {shapes or 'none'}")
        if not all((np.isfinite(table) & (table >= 0)).all() for table in found.values()):
            raise InvalidInput("expected numbers that are finite and not below 0")
        object.__setattr__(self, "tables", found)

    @property
    def figures(self) -> dict[str, Figure]:
        """The mean of each table, as measures."""
        found = {}
        for habit, table in self.tables.items():
            mean, key = float(table.mean()), f"attention_{habit}"
            if habit == ENTROPY:
                found[key] = Figure(mean, NATS, "attention entropy")
            else:
                found[key] = Figure(100 * mean, "%", said(habit))
        return found

    def figure(self) -> plots.Figure:
        return plots.head_tables(self.tables, {ENTROPY: f"{ENTROPY} ({NATS})"}, SHARE, self.title)

    def text(self, width: int) -> str:
        """For each layer the mean over its heads, and the largest with its head."""
        width, lines = terminal.narrowest(width), list[str]()
        for habit, table in self.tables.items():
            rows = [
                f"layer {layer}: {row.mean():.2f} (most {row.max():.2f}, head {row.argmax()})"
                for layer, row in enumerate(table)
            ]
            lines += [*flow([f"{habit} ({NATS if habit == ENTROPY else SHARE})"], width), *flow(rows, width), ""]
        return terminal.titled(self.title, lines[:-1], width)

    def page(self) -> dict[str, Any]:
        return {
            "tables": {habit: rounded(table, 3) for habit, table in self.tables.items()},
            "values": {habit: NATS if habit == ENTROPY else "share" for habit in self.tables},
        }

    def plain(self) -> dict[str, Any]:
        tables = {habit: rounded(table, 3) for habit, table in self.tables.items()}
        return {"name": self.name, "title": self.title, "tables": tables}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "HeadHabits":
        return cls(**plain)

    def description(self) -> str:
        found = []
        for habit, table in self.tables.items():
            table = np.round(table, 3)  # as in evidence, so that a stored picture has the same description
            layer, head = np.unravel_index(int(table.argmax()), table.shape)
            unit = f" {NATS}" if habit == ENTROPY else ""
            found.append(f"{habit} {table.max():.2f}{unit} at layer {layer}, head {head}")
        return f"{self.title or 'What each head attends to'}; the most of each: {'; '.join(found)}"


def said(habit: str) -> str:
    """The name of a measure."""
    symbols = {"itself": "the symbol itself", "separators": "separators"}
    return f"attention on {symbols.get(habit, f'the {habit} symbol')}"
