"""What leaving each earlier turn out does to the next one.

    influence_j = log p(answer | all turns) - log p(answer | all turns but j)          nats; above 0 where turn j helps

The answer is the turn that was written, or the last one of a dialogue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.explain import plots
from saccade.explain.pictures.text import Text
from saccade.explain.plots.canvas import finish, our_style, page
from saccade.tasks.dialogue.task import padded

MOST = 20  # the last turns that are left out, one after the other
WIDE, ROW = 3.2, 0.21  # inches: the bars, a turn
LONGEST = 60  # characters of a turn beside its bar


@torch.no_grad()
def influences(model: Any, turns: Sequence[tuple[int, ...]], answer: tuple[int, ...]) -> Float[Tensor, " m"]:
    """The influence of each of the last `MOST` turns on the answer.

    Args:
        model: the net, in evaluation mode.
        turns: one at least, with start and end.
        answer: with start, and with end if it was not cut.
    """
    device, count = model.bias.device, min(MOST, len(turns))
    vectors = model.encode(padded([tuple(turns)])[0].to(device))
    without = [vectors[[row for row in range(len(turns)) if row != left]] for left in range(len(turns))[-count:]]

    def after(read: Float[Tensor, "k m e"]) -> Float[Tensor, "k c"]:
        return model.over_turns(read, torch.ones(read.shape[:2], dtype=torch.bool, device=device))[:, -1]  # type: ignore[no-any-return]

    contexts = torch.cat([after(vectors[None]), after(torch.stack(without))])
    nats = model.nats(torch.tensor([answer] * (1 + count), device=device), contexts)
    found: Tensor = (nats[1:] - nats[0]).cpu()
    return found


@dataclass(frozen=True, eq=False)
class Influence:
    """Turns, and the influence of each on the answer.

    Raises:
        InvalidInput: no turns, another number of numbers, or one that is not finite.
    """

    name: str
    turns: Sequence[str]
    nats: plots.Weights
    """Above 0 where the answer is more probable with the turn."""
    answer: str

    def __post_init__(self) -> None:
        assert self._text  # which checks the numbers

    @property
    def _text(self) -> Text:
        said = [f"{turn} /" for turn in self.turns]
        return Text(self.name, said, self.nats, "nats that the answer loses without the turn", self.title)

    @property
    def title(self) -> str:
        return f"“{self.answer}”"

    def figure(self) -> plots.Figure:
        """A bar for each turn, the last one lowest."""
        labels = [shorten(turn, LONGEST, placeholder=" …") for turn in plots.labels(self.turns)]
        numbers = [float(number) for number in self.nats]
        low, high = min(0.0, *numbers), max(0.0, *numbers)
        margin = 0.05 * (high - low or 1.0)
        with our_style(self.title, *labels):
            tall = ROW * len(labels)
            axes = page().add_axes((0, -tall, WIDE, tall))
            colours = ["#d55e00" if number < 0 else "#2171b5" for number in numbers]
            axes.barh(range(len(labels)), numbers, color=colours, height=0.75)
            axes.axvline(0, color="#666666", linewidth=0.6)
            axes.set_yticks(range(len(labels)), labels)
            axes.set(ylim=(len(labels) - 0.5, -0.5), xlim=(low - margin, high + margin))
            axes.set_xlabel("nats that the answer loses without the turn")
            return finish(axes, f"Influence on {self.title}")

    def text(self, width: int) -> str:
        return self._text.text(width)

    def page(self) -> dict[str, Any]:
        return {**self._text.page(), "title": f"Influence on {self.title}"}

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "turns": list(self.turns), "nats": self._text.plain()["numbers"], "answer": self.answer,
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Influence":
        return cls(**plain)

    def description(self) -> str:
        return f"Turns before {self.title}; {self._text.values}. {self._text.description()}"
