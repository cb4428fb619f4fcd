"""A sentence, each word on the colour of its surprise: given the words before it, and given those after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saccade.explain import plots
from saccade.explain.pictures.text import Text

FORWARD, BACKWARD = "bits, given the words before", "bits, given the words after"


@dataclass(frozen=True, eq=False)
class BothWays:
    """Words, with two numbers for each.

    Raises:
        InvalidInput: no words, a different number of numbers, or one that is not finite.
    """

    name: str
    words: Sequence[str]
    forward: Sequence[float]
    """-log2 p of each word, given those before it."""
    backward: Sequence[float]
    """-log2 p of each word, given those after it."""
    title: str = ""

    def __post_init__(self) -> None:
        assert self._texts  # which checks the numbers

    @property
    def _texts(self) -> tuple[Text, Text]:
        return (
            Text("forward", self.words, self.forward, FORWARD, self.title),
            Text("backward", self.words, self.backward, BACKWARD),
        )

    def figure(self) -> plots.Figure:
        """Two columns, a row for each word, on one scale."""
        words = [f"{place}. {word}" for place, word in enumerate(plots.labels(self.words), start=1)]
        return bars(words, {FORWARD: self.forward, BACKWARD: self.backward}, self.title)

    def text(self, width: int) -> str:
        """The words twice, shaded by each surprise."""
        return "\n\n".join(text.text(width) for text in self._texts)

    def page(self) -> dict[str, Any]:
        forward, backward = self._texts
        return {"forward": forward.page(), "backward": backward.page()}

    def plain(self) -> dict[str, Any]:
        forward, backward = (text.plain()["numbers"] for text in self._texts)
        return {
            "name": self.name, "title": self.title, "words": list(self.words), "forward": forward, "backward": backward,
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "BothWays":
        return cls(**plain)

    def description(self) -> str:
        forward, backward = self._texts
        return f"{forward.description()}; {backward.description()}"


def bars(rows: Sequence[str], columns: Mapping[str, Sequence[float]], title: str) -> plots.Figure:
    """Columns of bars on one scale, a row for each label; bars below 0 are orange."""
    from saccade.explain.plots.canvas import finish, our_style, page

    high, places = 0.19 * len(rows), range(len(rows))
    least = min(0.0, *(number for numbers in columns.values() for number in numbers))
    most = max(number for numbers in columns.values() for number in numbers) or 1.0
    with our_style(title, *rows):
        figure = page()
        for place, (label, numbers) in enumerate(columns.items()):
            axes = figure.add_axes((2.6 * place, -high, 2.2, high))
            colours = ["#d55e00" if number < 0 else "#2171b5" for number in numbers]
            axes.barh(places, [float(number) for number in numbers], color=colours, height=0.75)
            axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(1.05 * least, 1.05 * most), xlabel=label)
            axes.set_yticks(places if not place else [], rows if not place else [])
        return finish(figure.axes[0], title)
