"""Attention to each word of a sentence beside what leaving the word out does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saccade.explain import plots
from saccade.explain.pictures.text import Text


@dataclass(frozen=True, eq=False)
class Beside:
    """Words, with the attention to each and its effect on the probability of the class that was chosen.

    Raises:
        InvalidInput: no words, a different number of numbers, or one that is not finite.
    """

    name: str
    words: Sequence[str]
    attention: Sequence[float]
    effect: Sequence[float]
    """Below 0 where the class is more probable without the word."""
    correlation: float
    """Kendall's tau of attention and the size of the effect."""
    title: str = ""

    def __post_init__(self) -> None:
        assert self._texts  # which checks the numbers

    @property
    def _texts(self) -> tuple[Text, Text]:
        tau = f"Kendall's tau of attention and the size of the effect: {self.correlation:.2f}"
        return (
            Text("attention", self.words, self.attention, "attention weight", self.title),
            Text("omission", self.words, self.effect, "probability lost without the word", tau),
        )

    def figure(self) -> plots.Figure:
        """Both numbers of each word, as bars from a line in the middle."""
        words = [f"{place}. {word}" for place, word in enumerate(plots.labels(self.words), start=1)]
        most = [max(map(abs, numbers)) or 1.0 for numbers in (self.attention, self.effect)]
        return beside(words, self.attention, self.effect, most, self.title, self.correlation)

    def text(self, width: int) -> str:
        """The words twice, shaded by attention and by the effect."""
        return "\n\n".join(text.text(width) for text in self._texts)

    def page(self) -> dict[str, Any]:
        attention, omission = self._texts
        return {
            "attention": attention.page(), "omission": omission.page(), "title": omission.title,
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        attention, omission = (text.plain()["numbers"] for text in self._texts)
        return {
            "name": self.name, "title": self.title, "words": list(self.words), "attention": attention,
            "effect": omission, "correlation": round(self.correlation, 3),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Beside":
        return cls(**plain)

    def description(self) -> str:
        attention, omission = self._texts
        return f"{attention.description()}; {omission.values}, {omission.description()}"


def beside(
    words: Sequence[str],
    attention: Sequence[float],
    effect: Sequence[float],
    most: Sequence[float],
    title: str,
    correlation: float,
) -> plots.Figure:
    """Two columns of bars, a row for each word."""
    from saccade.explain.plots.canvas import finish, our_style, page

    high, places = 0.19 * len(words), range(len(words))
    with our_style(title, *words):
        figure = page()
        left, right = (figure.add_axes((at, -high, 2.4, high)) for at in (0.0, 2.7))
        for axes, numbers, bound, label in (
            (left, attention, most[0], "attention weight"),
            (right, effect, most[1], "probability lost without the word"),
        ):
            colours = ["#d55e00" if number < 0 else "#2171b5" for number in numbers]
            axes.barh(places, [float(number) for number in numbers], color=colours, height=0.75)
            least = -bound if min(numbers) < 0 else 0.0
            axes.set(ylim=(len(words) - 0.5, -0.5), xlim=(1.05 * least, 1.05 * bound), xlabel=label)
        left.set_yticks(list(places), words)
        right.set_yticks([])
        right.axvline(0, color="#666666", linewidth=0.6)
        right.set_title(f"rank correlation {correlation:.2f}", loc="right")
        return finish(left, title)
