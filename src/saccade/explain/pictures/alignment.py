"""An alignment as a heat map. Figure 3 of Bahdanau et al. 2015, arXiv:1409.0473."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saccade.explain import plots
from saccade.explain.names import grouped
from saccade.explain.plots.arrays import checked, rounded
from saccade.explain.plots.heat_map import Panel
from saccade.explain.terminal import titled
from saccade.explain.text import alignment_text, strongest_links

SOFT = 0.5  # a map whose largest weight is lower is pale on a scale up to 1


@dataclass(frozen=True, eq=False)
class Alignment:
    """Weights (q, k), a row for each query and a column for each key.

    Raises:
        InvalidInput: the wrong shape, no labels, or weights that are below 0 or not finite.
    """

    name: str
    weights: plots.Weights
    rows: Sequence[str]
    """Tokens of the queries, in the form of `plots.labels`."""
    columns: Sequence[str]
    rows_label: str
    """The label of the rows, such as "target"."""
    columns_label: str
    values: str = "attention weight"
    """The name of the weights."""
    title: str = ""
    tall: bool = False
    """Draw the keys down and the queries to the right: for few queries, and keys as long as sentences."""

    def __post_init__(self) -> None:
        weights = checked(self.weights, f"{len(self.rows)} {len(self.columns)}", self.values, 0.0)
        object.__setattr__(self, "weights", weights)

    @property
    def panel(self) -> Panel:
        """A panel for `plots.alignments`, which draws several side by side."""
        if self.tall:
            return self.weights.T, self.columns, self.rows, self.columns_label, self.rows_label, self.title
        return self.weights, self.rows, self.columns, self.rows_label, self.columns_label, self.title

    def figure(self) -> plots.Figure:
        """The map on a scale from 0 to 1; if all weights are below a half, it is also drawn on its own scale."""
        if self.weights.max() >= SOFT:
            return plots.alignments([self.panel], self.values)
        return plots.alignments([self.panel, self.panel], self.values, ("fixed", "own"))

    def text(self, width: int) -> str:
        weights, rows, columns, *_ = self.panel
        return titled(self.title, alignment_text(weights, rows, columns, width).split("\n"), width)

    def page(self) -> dict[str, Any]:
        weights, rows, columns, rows_label, columns_label, _ = self.panel
        return {
            "rows": plots.labels(rows), "columns": plots.labels(columns), "rows_label": rows_label,
            "columns_label": columns_label, "values": self.values, "weights": rounded(weights, 4),
            "rows_words": grouped(rows), "columns_words": grouped(columns),
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "values": self.values, "rows_label": self.rows_label,
            "columns_label": self.columns_label, "rows": list(self.rows), "columns": list(self.columns),
            "weights": rounded(self.weights), **({"tall": True} if self.tall else {}),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Alignment":
        return cls(**plain)

    def description(self) -> str:
        rows, columns = (" ".join(plots.labels(side)) for side in (self.rows, self.columns))
        links = strongest_links(self.weights, self.rows, self.columns)
        return f"{self.title or self.values.capitalize()} of {rows} (rows) to {columns} (columns); {links}"
