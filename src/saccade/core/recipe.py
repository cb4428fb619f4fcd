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
    """The mean over the counted items."""
    count: "Tensor | float"  # type: ignore[assignment]
    """The number of symbols, frames, pixels or examples in the mean; with 0 the value is ignored."""
    weight: float = 1.0


class Loss(NamedTuple):
    """The result of an objective. An update minimises the sum of weight x mean over the parts.

    Each part is averaged over its global count, so accumulated batches, and batches split over several processes, give
    the same update as one batch.
    """

    parts: Mapping[str, Part]
    """None in evaluation if the system has no validation loss; the decisive metric is used instead."""
    logs: Mapping[str, "Tensor | float"] = {}
    """More figures to log; their mean is written to the metrics."""
    carry: Any = None
    """What the stream passes to its next batch, such as a state."""

    @property
    def value(self) -> "Tensor":
        """The loss of this batch alone."""
        terms = [part.value if part.weight == 1 else part.weight * part.value for part in self.parts.values()]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


Split = Literal["columns", "rows", "vocabulary"]
"""How tensor parallelism splits a layer over a group of processes: a linear layer by its outputs ("columns", as of W in
x W) or by its inputs ("rows"), and an embedding by its symbols. Between columns and rows each process computes with its
own features, such as those of its heads."""


class Missing(NamedTuple):
    """Data that must be given to train."""

    flags: tuple[str, ...]
    """Flags of `saccade train`, with a word in capitals for what the user must give."""
    why: str


class Outline(NamedTuple):
    """The sizes of a task, without its data, for `Recipe.outline`."""

    task: Any
    """Stands for the task in `build`."""
    batch: Callable[[int], Any] | None
    """A training batch of that many examples, on torch's default device; its values mean nothing. None: it cannot be
    known without the data, so only weights are counted."""
    size: int
    """The size of an example, as `training.batch_size` counts it."""
    missing: Callable[[int], Missing | None] = lambda batch_size: None
    """The size of a batch -> what must be given because the embedded data are too few for it, or for the sizes of the
    task; None if they are enough."""


Objective = Callable[["nn.Module", Any, int], Loss]
"""(model, batch, step) -> Loss; the step, from 0, is for warm-ups. If `model.training` is false, this is the validation
loss, which `keep = "best"` compares: do not warm up there."""


class Answer(NamedTuple):
    """A model and its answer to one example, from which pictures and measures are made."""

    model: "nn.Module"
    task: Any
    config: Any
    example: Any
    prediction: Any
    device: "torch.device"


class Step(NamedTuple):
    """One step of an answer that a model writes symbol by symbol."""

    symbol: str
    """The symbol that it wrote."""
    log_prob: float
    """Its log-probability, given those before it."""
    likeliest: Sequence[tuple[str, float]]
    """The likeliest symbols with their log-probabilities, best first."""


@dataclass(frozen=True, kw_only=True)
class Paper:
    """The paper of a system and the number to compare with."""

    title: str
    authors: str
    year: int
    arxiv: str = ""
    """Its arXiv number; if it has none, "", with a DOI or an address instead."""
    target: str
    """The table or figure to reproduce."""
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
    """A claim that the evidence must support, about a figure of the score or one of the recipe's measures."""

    metric: str
    direction: Literal["max", "min"]
    variant: str
    why: str
    bound: float | None = None
    """The bound; None if the claim compares with another variant."""
    against: str = ""
    """Another variant of the system, whose newest evidence provides the bound."""
    factor: float = 1.0
    """Factor on the other variant's value."""
    split: str = "test"
    over: Literal["each", "mean", "best"] = "each"
    """Each seed, the mean over seeds, or the best seed on validation."""

    def holds(self, value: float, bound: float) -> bool:
        return value >= bound if self.direction == "max" else value <= bound


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One system. Every variant is a complete configuration."""

    paper: Paper
    task: Callable[[Any, Path | None], Task]
    """(config, assets) -> task. Given a folder of assets, the task learns nothing from the data again."""
    build: Callable[[Any, Any], "nn.Module"]
    """(config, task) -> model."""
    predict: Callable[["nn.Module", Any, Any], list[Any]]
    """(model, batch, config) -> a prediction for each example of the batch, independent of the other examples: random
    draws come from a seed in the config and from the example."""
    variants: Mapping[str, Any]
    objective: Objective | None = None
    """None if there is nothing to train."""
    stream: Callable[[Any, Any, "nn.Module"], Stream] | None = None
    """(config, task, model) -> the training batches; by default the task's examples, batched by size."""
    pictures: Callable[[Answer], Sequence[Picture]] | None = None
    measures: Callable[[Answer], Mapping[str, Figure]] | None = None
    """Figures that need the model; their mean over the first 100 test examples is added to the score."""
    steps: Callable[[Answer, int], Sequence[Step]] | None = None
    """(answer, count) -> the steps of an answer, each with its `count` likeliest symbols; None if it is not written
    symbol by symbol."""
    shards: Callable[[Any], Mapping[str, Split]] | None = None
    """config -> how tensor parallelism splits the layers, by patterns of their names, such as
    "stack.blocks.*.attention.output"; None if it is not supported."""
    blocks: tuple[str, ...] = ()
    """Patterns of the names of modules that the backward pass can compute again; empty if it is not supported."""
    outline: Callable[[Any], Outline] | None = None
    """config -> the sizes of its task, of which `plan` computes the cost of a batch; None: it counts only the weights
    of the net for the embedded data."""
    claims: tuple[Claim, ...] = ()

    @property
    def config(self) -> Any:
        return self.variants["default"]
