"""Sentences with a word, and how near its vectors there are to those in another sentence, layer by layer."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saccade.explain import plots
from saccade.explain.plots.arrays import checked, rounded
from saccade.systems.elmo.both_ways import bars


@dataclass(frozen=True, eq=False)
class Contexts:
    """Sentences, with a cosine for each layer.

    Raises:
        InvalidInput: no sentences, or a different number of cosines.
    """

    name: str
    sentences: Sequence[str]
    """The nearest first."""
    cosines: plots.Weights
    """(sentences, layers)"""
    title: str = ""

    def __post_init__(self) -> None:
        layers = len(self.cosines[0]) if len(self.cosines) else 1
        object.__setattr__(self, "cosines", checked(self.cosines, f"{len(self.sentences)} {layers}", "cosines"))

    @property
    def _layers(self) -> list[str]:
        return [f"layer {number}" for number in range(1, len(self.cosines[0]) + 1)]

    def figure(self) -> plots.Figure:
        """A column of bars for each layer, a row for each sentence."""
        columns = {f"cosine, {layer}": list(row) for layer, row in zip(self._layers, self.cosines.T, strict=True)}
        return bars(plots.labels(self.sentences), columns, self.title)

    def text(self, width: int) -> str:
        """A line for each sentence, after its cosines."""
        layers = self._layers
        lines = [*textwrap.wrap(self.title, max(20, width)), "  ".join([*layers, "cosine with"])]
        for sentence, row in zip(plots.labels(self.sentences), self.cosines, strict=True):
            numbers = [f"{value:>{len(layer)}.2f}" for layer, value in zip(layers, row, strict=True)]
            lines.append("  ".join([*numbers, sentence]))
        return "\n".join(lines)

    def page(self) -> dict[str, Any]:
        return {"sentences": plots.labels(self.sentences), "cosines": rounded(self.cosines, 4), "layers": self._layers}

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "sentences": list(self.sentences), "cosines": rounded(self.cosines),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Contexts":
        return cls(**plain)

    def description(self) -> str:
        nearest = f"{plots.labels(self.sentences)[0]} ({self.cosines[0][-1]:.2f})"
        return f"{self.title}: the nearest of {len(self.sentences)} sentences by the last layer: {nearest}"
