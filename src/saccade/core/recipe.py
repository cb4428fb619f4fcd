"""What a system is, as one value: the paper, the task, the model, the objective, the variants and the claims."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn


WEIGHT = "attention weight"


class Loss(NamedTuple):
    """What an objective returns: the scalar to go down, and figures to log (plain numbers or scalar tensors)."""

    value: "Tensor"
    logs: Mapping[str, "Tensor | float"]


@runtime_checkable
class Task(Protocol):
    """Data and metric. Knows no model; a system's `predict` and the task's `decode` meet in a prediction."""

    @property
    def metric(self) -> str:
        """The figure of `score` that decides, e.g. "bleu"."""

    @property
    def direction(self) -> Literal["max", "min"]:
        """Whether more of it is better, or less."""

    def examples(self, split: str) -> Sequence[Any]:
        """The examples of "train", "validation" or "test"."""

    def read(self, raw: str) -> Any:
        """An example from what a user types.

        Raises:
            InvalidInput: an input that it cannot take, such as one longer than the task states; before the model runs.
        """

    def cost(self, example: Any) -> tuple[int, ...]:
        """The sizes by which examples are sorted; the first is what a batch may hold so many of."""

    def collate(self, examples: Sequence[Any]) -> Any:
        """A batch: a NamedTuple of tensors."""

    def objective(self, model: "nn.Module", batch: Any, step: int) -> Loss:
        """The standard objective of the task."""

    def decode(self, prediction: Any) -> str:
        """What a user reads."""

    def notes(self, example: Any) -> list[str]:
        """What a user should know of an input, such as words that the vocabulary lacks; mostly nothing."""

    def replay(self, example: Any, prediction: Any) -> Any:
        """The example as if the prediction had been its answer, to look at the model while it gives it."""

    def labels(self, example: Any) -> Mapping[str, Sequence[str]]:
        """What a `Show` may call its rows and columns -> a label for each position of the captured tensor."""

    def compare(self, example: Any, prediction: Any) -> Mapping[str, str]:
        """Input, answer and prediction as a user reads them."""

    def typed(self, example: Any, folder: Path) -> str:
        """What a user types to ask for this example; a file that it names is written into the folder."""

    def score(self, predictions: Sequence[Any], examples: Sequence[Any]) -> dict[str, Any]:
        """The metric and its companions, as evidence keeps them."""

    def describe(self) -> dict[str, Any]:
        """Sizes and a fingerprint of the data, as evidence keeps them."""

    def save(self, folder: Path) -> None:
        """Write what a prediction needs (vocabularies, labels) into a folder."""


@runtime_checkable
class Aligning(Protocol):
    """A task that knows where a model should look."""

    def aligned(self, example: Any, weights: "Tensor") -> Sequence[bool]:
        """Of each symbol of the right answer, whether the look before it (rows, columns) went to the right place."""


@runtime_checkable
class Learning(Protocol):
    """A task that learned something of its data, such as a vocabulary, so that some fields are no longer a choice."""

    def check_trained(self, trained: Any) -> None:
        """Raise InvalidInput where its configuration asks for another than the one that was trained with."""


class Heard(NamedTuple):
    """A sound, and how a look at it is laid out in time."""

    features: "Tensor"
    """(frames, bands)."""
    frame: float
    """Seconds from a frame of the features to the next."""
    step: float
    """Seconds from a column of a look to the next."""


@runtime_checkable
class Hearing(Protocol):
    """A task whose inputs are sounds."""

    def heard(self, example: Any) -> Heard:
        """What is drawn of the sound."""


@dataclass(frozen=True, kw_only=True)
class Paper:
    """The source of a system and the number it is measured against."""

    title: str
    authors: str
    year: int
    arxiv: str
    """Its number there; "" where it has none, and then a doi."""
    target: str
    """The table or figure aimed at."""
    number: str
    """The paper's number, with its unit and protocol."""
    doi: str = ""

    @property
    def cited(self) -> str:
        return f"arXiv:{self.arxiv}" if self.arxiv else f"doi:{self.doi}"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the evidence must support."""

    metric: str
    direction: Literal["max", "min"]
    bound: float
    split: str
    variant: str
    why: str

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.direction == "max" else value <= self.bound


@dataclass(frozen=True, kw_only=True)
class Show:
    """What is drawn by default: a tap, the picture, and what the tap's last two axes are."""

    tap: str
    """Its qualified name, or a pattern as of `capture`: then the mean over all that match is drawn."""
    picture: Literal["alignment", "pen"]
    """A heat map; or what a pen drew, of rows of places x, y and whether a stroke ends there."""
    rows: str
    columns: str
    title: str = ""
    """What is seen, where a recipe shows several."""
    values: str = WEIGHT
    """What the numbers are, as the scale of the picture says."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One system. `config` is the default and complete; `variants` are complete too."""

    paper: Paper
    task: Callable[[Any, Path | None], Task]
    """(config, assets) -> task. With a folder of assets nothing is learned from the data again."""
    build: Callable[[Any, Any], "nn.Module"]
    """(config, task) -> model."""
    predict: Callable[["nn.Module", Any, Any], list[Any]]
    """(model, batch, config) -> predictions, which `task.score` judges and `task.decode` makes readable."""
    variants: Mapping[str, Any]
    objective: Callable[["nn.Module", Any, int], Loss] | None = None
    """(model, batch, step) -> Loss; None is the task's own."""
    shows: tuple[Show, ...] = ()
    claims: tuple[Claim, ...] = field(default=())

    @property
    def config(self) -> Any:
        return self.variants["default"]
