"""A system as one value: paper, task, model, objective, stream, pictures, variants and claims."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from saccade.core.picture import Picture
from saccade.core.stream import Stream
from saccade.core.task import Figure, Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class Part(NamedTuple):
    """One term of a loss."""

    value: "Tensor"
    """The mean over what is counted."""
    count: "Tensor | float"  # type: ignore[assignment]
    """How many symbols, frames, pixels or examples that mean is over; 0: none, and then the value does not matter."""
    weight: float = 1.0


class Loss(NamedTuple):
    """What an objective returns. An update minimises the sum of weight x mean over the parts.

    The mean of a part is that over its global count, so that batches that are accumulated, and batches that several
    processes share, are as one batch.
    """

    parts: Mapping[str, Part]
    """None in evaluation where no loss says how good a model is: then the decisive metric does."""
    logs: Mapping[str, "Tensor | float"] = {}
    """Further figures for the metrics; their mean is logged."""
    carry: Any = None
    """What the stream hands to its next batch, such as a state."""

    @property
    def value(self) -> "Tensor":
        """The loss of this batch alone."""
        terms = [part.value if part.weight == 1 else part.weight * part.value for part in self.parts.values()]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


Objective = Callable[["nn.Module", Any, int], Loss]
"""(model, batch, step) -> Loss; the step serves warm-ups."""


class Answer(NamedTuple):
    """A model and its answer to one example: what pictures and measures are made of."""

    model: "nn.Module"
    task: Any
    config: Any
    example: Any
    prediction: Any
    device: "torch.device"


@dataclass(frozen=True, kw_only=True)
class Paper:
    """The source of a system and the number it is measured against."""

    title: str
    authors: str
    year: int
    arxiv: str = ""
    """Its number on arXiv; "" where it has none, and then there is a DOI or an address."""
    target: str
    """The table or figure aimed at."""
    number: str
    """The paper's number, with its unit and protocol."""
    doi: str = ""
    address: str = ""

    @property
    def cited(self) -> str:
        return f"arXiv:{self.arxiv}" if self.arxiv else f"doi:{self.doi}" if self.doi else self.address

    @property
    def link(self) -> str:
        if self.arxiv:
            return f"https://arxiv.org/abs/{self.arxiv}"
        return f"https://doi.org/{self.doi}" if self.doi else self.address


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the evidence must support: a figure of the score, or one of the recipe's measures."""

    metric: str
    direction: Literal["max", "min"]
    variant: str
    why: str
    bound: float | None = None
    """The value itself; or else it is compared with another variant."""
    against: str = ""
    """Another variant of the system, whose newest evidence gives the bound."""
    factor: float = 1.0
    """Times the other variant's value."""
    split: str = "test"
    over: Literal["each", "mean", "best"] = "each"
    """Each seed, the mean of the seeds, or the seed that is best on validation."""

    def holds(self, value: float, bound: float) -> bool:
        return value >= bound if self.direction == "max" else value <= bound


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One system. Every variant is a complete configuration."""

    paper: Paper
    task: Callable[[Any, Path | None], Task]
    """(config, assets) -> task. With a folder of assets nothing is learned from the data again."""
    build: Callable[[Any, Any], "nn.Module"]
    """(config, task) -> model."""
    predict: Callable[["nn.Module", Any, Any], list[Any]]
    """(model, batch, config) -> a prediction for each example of the batch."""
    variants: Mapping[str, Any]
    objective: Objective | None = None
    """None: there is nothing to train."""
    stream: Callable[[Any, Any, "nn.Module"], Stream] | None = None
    """(config, task, model) -> the training batches; None: the task's examples, sorted and cut by size."""
    pictures: Callable[[Answer], Sequence[Picture]] | None = None
    measures: Callable[[Answer], Mapping[str, Figure]] | None = None
    """Figures that need the model; their mean over the first 100 test examples joins the score."""
    shards: Callable[[Any], Mapping[str, Literal["columns", "rows", "vocabulary"]]] | None = None
    """config -> how tensor parallelism splits weights, by patterns of their names; None: it is refused."""
    claims: tuple[Claim, ...] = ()

    @property
    def config(self) -> Any:
        return self.variants["default"]
