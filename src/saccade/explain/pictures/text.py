"""A text whose words are coloured by numbers, such as each word's contribution to an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saccade.explain import plots, terminal
from saccade.explain.plots.arrays import checked, rounded
from saccade.explain.text import cells, fit, flow


@dataclass(frozen=True, eq=False)
class Text:
    """Words, with a number for each, which may be below 0.

    Raises:
        InvalidInput: no words, a different number of numbers, or one that is not finite.
    """

    name: str
    words: Sequence[str]
    """In the form of `plots.labels`."""
    numbers: plots.Weights
    values: str = "weight"
    """The name of the numbers."""
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", checked(self.numbers, str(len(self.words)), "numbers"))

    def figure(self) -> plots.Figure:
        return plots.coloured_words(self.words, self.numbers, self.values, self.title)

    def text(self, width: int) -> str:
        """The words in lines, each with its shade below; numbers below 0 have a minus before the shade."""
        width, largest = terminal.narrowest(width), float(abs(self.numbers).max()) or 1.0
        lines: list[list[str]] = [["", ""]]
        for word, number in zip(plots.labels(self.words), self.numbers, strict=True):
            size = max(1, min(cells(word), width))
            shade = size * terminal.shades([abs(number) / largest], 1)
            parts = fit(word, size), f"-{shade[1:]}" if number < 0 and shade[0] != "·" else shade
            if lines[-1][0] and cells(lines[-1][0]) + 1 + size > width:
                lines.append(["", ""])
            lines[-1] = [f"{old} {new}" if old else new for old, new in zip(lines[-1], parts, strict=True)]
        said = [line for pair in lines for line in (*pair, "")]
        return terminal.titled(self.title, said + flow([self.values, *terminal.legend(largest)], width), width)

    def page(self) -> dict[str, Any]:
        return {"words": plots.labels(self.words), "numbers": rounded(self.numbers, 4), "values": self.values}

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "values": self.values, "words": list(self.words),
            "numbers": rounded(self.numbers),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Text":
        return cls(**plain)

    def description(self) -> str:
        order = sorted(range(len(self.words)), key=lambda place: -float(self.numbers[place]))
        said = ", ".join(f"{plots.labels(self.words)[place]} {self.numbers[place]:.3g}" for place in order[:5])
        return f"{self.title or self.values.capitalize()} of {len(self.words)} words, the largest: {said}"
