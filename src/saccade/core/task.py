"""A task is data and a metric. Seven members are required; whatever else a task can do is a protocol of its own.

A task knows no model. A system's `predict` and the task's `score` meet in a prediction, whatever that is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable


class Figure(NamedTuple):
    """One number of a score, or a word such as a signature."""

    value: float | int | str | None
    unit: str = ""
    """Such as "%" or "s"; "" where there is none."""
    name: str = ""
    """How a sentence names it, such as "BLEU"; "" is its key with spaces for underscores."""
    over: int = 1
    """How many looks, labels or the like it is the mean over: the mean of a measure over examples is weighted by it."""


class Series(NamedTuple):
    """A score that changes with something, or a count of it: drawn wherever figures are shown."""

    x: Sequence[float | str]
    y: Sequence[float]
    x_label: str
    """With its unit: an axis says so."""
    y_label: str
    kind: Literal["curve", "histogram"] = "curve"
    counts: Sequence[int] = ()
    """How many examples each point is the score of; () is not known."""


class Score(NamedTuple):
    """What `Task.score` returns: figures by their keys, and named series."""

    figures: Mapping[str, Figure]
    series: Mapping[str, Series] = {}


@runtime_checkable
class Task(Protocol):
    """Data and metric."""

    @property
    def metric(self) -> str:
        """The key of the figure that decides, such as "bleu"."""

    @property
    def direction(self) -> Literal["max", "min"]:
        """Whether more of it is better, or less."""

    @property
    def unit(self) -> str:
        """The unit of the metric, such as "%"; "" where there is none."""

    def examples(self, split: str) -> Sequence[Any]:
        """The examples of "train", "validation" or "test"; those of "train" may be none where a stream makes them."""

    def collate(self, examples: Sequence[Any], generator: Any = None) -> Any:
        """A batch, a NamedTuple of tensors. With a `torch.Generator` the examples are augmented, without one never."""

    def score(self, predictions: Sequence[Any], examples: Sequence[Any]) -> Score:
        """The metric and its companions."""

    def describe(self) -> dict[str, Any]:
        """The data as evidence keeps them: "data" names them, "sha256" is their fingerprint, sizes as there are."""


class Size(NamedTuple):
    """How much of an example a model reads, and how much it writes: symbols, frames, points."""

    input: int
    output: int


@runtime_checkable
class Sized(Protocol):
    """A task whose examples differ in size. Batches of any other task count examples."""

    def size(self, example: Any) -> Size: ...


@runtime_checkable
class Legible(Protocol):
    """A task whose answers a person can read."""

    def decode(self, prediction: Any) -> str:
        """The answer as a person reads it."""

    def compare(self, example: Any, prediction: Any) -> Mapping[str, str]:
        """Input, answer and right answer, each under a short name."""


@runtime_checkable
class Readable(Protocol):
    """A task that answers what a user gives it."""

    @property
    def accepts(self) -> tuple[str, ...]:
        """Kinds of input: "text", "audio/wav", "image/*"; "nothing" where an answer needs no input."""

    def read(self, raw: str | bytes) -> Any:
        """An example of what a user typed, of a file's path, or of a file's bytes.

        Raises:
            InvalidInput: what cannot be read, or is longer than the task takes.
        """

    def notes(self, example: Any) -> list[str]:
        """What a user should know of an input, such as words that the vocabulary lacks."""

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """Inputs to try, of the test split: text as typed, or the bytes of files. A run keeps them in its assets."""


@runtime_checkable
class Learning(Protocol):
    """A task that learned something of its training data, such as a vocabulary."""

    def save(self, folder: Path) -> None:
        """Write what was learned into the run's assets; the task's factory reads it from there."""

    def check_trained(self, trained: Any) -> None:
        """Raise InvalidInput where this configuration asks for something else than what was trained with."""


@runtime_checkable
class Answered(Protocol):
    """A task whose examples come with the right answer, which a picture can show a model at."""

    def answer(self, example: Any) -> Any:
        """The right answer, as a prediction."""


@runtime_checkable
class Replaying(Protocol):
    """A task whose answers can be given to the model as if they were right, to look at it while it gives them."""

    def replay(self, example: Any, prediction: Any) -> Any:
        """The example with the prediction as its answer."""

    def labels(self, example: Any) -> Mapping[str, Sequence[str]]:
        """What an axis may be called, such as "source" -> a label for each position of it."""
