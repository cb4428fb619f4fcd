"""A text in its lines, each character on the colour of a number from -1 to 1, such as the state of one cell. Figures 2
and 3 of Karpathy et al. 2015, arXiv:1506.02078."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saccade.core.errors import InvalidInput
from saccade.core.printable import printable
from saccade.explain import plots, terminal
from saccade.explain.plots.arrays import checked, rounded
from saccade.explain.plots.coloured import lines_of
from saccade.explain.text import flow


@dataclass(frozen=True, eq=False)
class Characters:
    """Characters, with a number for each; line breaks begin a new line.

    Raises:
        InvalidInput: no characters, a different number of numbers, or one outside of -1 to 1.
    """

    name: str
    characters: str
    numbers: plots.Weights
    values: str = "cell"
    """The name of the numbers."""
    title: str = ""

    def __post_init__(self) -> None:
        numbers = checked(self.numbers, str(len(self.characters)), "numbers")
        if abs(numbers).max() > 1.0 + 1e-6:
            raise InvalidInput(f"expected numbers from -1 to 1, got {float(abs(numbers).max()):.3g}")
        object.__setattr__(self, "numbers", numbers)

    def figure(self) -> plots.Figure:
        return plots.coloured_characters(self.characters, self.numbers, self.values, self.title)

    def text(self, width: int) -> str:
        """The lines, each with its shades below; "-" and "=" stand below numbers under 0, "=" if they are large."""
        width, lines = terminal.narrowest(width), list[str]()
        for row in lines_of(self.characters, width):
            numbers = [float(self.numbers[place]) for place in row]
            marks = [("=" if -number >= 0.5 else "-") if number <= -0.05 else terminal.shades([max(0.0, number)], 1)
                     for number in numbers]  # fmt: skip
            lines += [printable(self.characters[row.start : row.stop]), "".join(marks).replace("·", " ")]
        below = ["- below 0", "= from -0.5 down"] if bool((self.numbers < 0).any()) else []
        marks_said = [self.values, *terminal.legend(), *below]
        return terminal.titled(self.title, lines + flow(marks_said, width), width)

    def page(self) -> dict[str, Any]:
        return {"characters": self.characters, "numbers": rounded(self.numbers, 2), "values": self.values}

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "values": self.values, "characters": self.characters,
            "numbers": rounded(self.numbers, 2),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Characters":
        return cls(**plain)

    def description(self) -> str:
        shown = textwrap.shorten(printable(" ".join(self.characters.split())), 80, placeholder=" …") or "white space"
        return f"{self.title or self.values.capitalize()}, for each of {len(self.characters)} characters of: {shown}"


def tinted(parts: Sequence[str], chances: Sequence[float], title: str = "") -> Characters:
    """A text as a model read it, each symbol on the colour of its probability.

    Args:
        parts: the text of each symbol.
        chances: the probability of each, given those before it; 0 for the first.
    """
    numbers = [chance for part, chance in zip(parts, chances, strict=True) for _ in part]
    said = title or "How probable each symbol was, given those before it"
    return Characters("probability", "".join(parts), numbers, "probability", said)
