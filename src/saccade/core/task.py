"""A task is data and a metric. Seven members are required; each optional ability is a separate protocol.

A task knows no model. A system's `predict` returns predictions, of any type, that the task's `score` accepts.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable


def short(value: float, places: int = 2) -> str:
    """The value with two decimal places, with three below 1, and as 1.3e-05 if these would be zeros."""
    places += abs(value) < 1
    text = f"{value:,.{places}f}"
    return text if value == 0 or float(text.replace(",", "")) else f"{value:.1e}"


class Figure(NamedTuple):
    """One value of a score: a number, or text such as a signature."""

    value: float | int | str | None
    unit: str = ""
    """Such as "%" or "s"; "" if there is none."""
    name: str = ""
    """Its name in a sentence, such as "BLEU"; by default its key with spaces for underscores."""
    over: int = 1
    """The number of items it averages, such as labels; a mean over examples is weighted by this number."""

    def named(self, key: str) -> str:
        return self.name or key.replace("_", " ")

    def unit_after(self, key: str) -> str:
        """The unit to write after the value; "" if the name begins with the unit, as in "nats per step"."""
        return "" if self.named(key).split()[0] == self.unit else self.unit


class Series(NamedTuple):
    """A score as a function of something, or a histogram; it is drawn wherever figures are shown."""

    x: Sequence[float | str]
    y: Sequence[float]
    x_label: str
    """The label of the x axis, with the unit."""
    y_label: str
    kind: Literal["curve", "histogram"] = "curve"
    counts: Sequence[int] = ()
    """The number of examples behind each point; () if unknown."""


class Score(NamedTuple):
    """The result of `Task.score`: figures by key, and named series."""

    figures: Mapping[str, Figure]
    series: Mapping[str, Series] = {}


@runtime_checkable
class Task(Protocol):
    """Data and metric."""

    @property
    def metric(self) -> str:
        """The key of the decisive figure, such as "bleu"."""

    @property
    def direction(self) -> Literal["max", "min"]:
        """Whether higher or lower is better."""

    @property
    def unit(self) -> str:
        """The unit of the metric, such as "%"; "" if there is none."""

    def examples(self, split: str) -> Sequence[Any]:
        """The examples of "train", "validation" or "test"; "train" may be empty if a stream generates the batches."""

    def collate(self, examples: Sequence[Any], generator: Any = None) -> Any:
        """A batch, as a NamedTuple of tensors. The examples are augmented only if a `torch.Generator` is given."""

    def score(self, predictions: Sequence[Any], examples: Sequence[Any]) -> Score:
        """The metric and further figures."""

    def describe(self) -> dict[str, Any]:
        """A description of the data for the evidence: "data" is their name, "sha256" their fingerprint; sizes are
        optional."""


class Size(NamedTuple):
    """How much a model reads and writes for an example, in symbols, frames or points."""

    input: int
    output: int


@runtime_checkable
class Sized(Protocol):
    """A task whose examples differ in size. For any other task, batch sizes count examples."""

    def size(self, example: Any) -> Size: ...


@runtime_checkable
class Legible(Protocol):
    """A task whose answers a person can read."""

    def decode(self, prediction: Any) -> str:
        """The answer as a person reads it, in one line."""

    def compare(self, example: Any, prediction: Any) -> Mapping[str, str]:
        """Input, answer and right answer, each in one line under a short name."""


@runtime_checkable
class Proposing(Protocol):
    """A task whose predictions hold the log-probabilities of the answer and of others that were found beside it."""

    def proposals(self, prediction: Any) -> Sequence[tuple[str, float]]:
        """Answers as a person reads them, each with its log-probability in nats, the answer first."""


@runtime_checkable
class Readable(Protocol):
    """A task that accepts input from a user."""

    @property
    def accepts(self) -> tuple[str, ...]:
        """The kinds of input accepted: "text", "audio/wav", "image/*"; "nothing" if no input is needed."""

    def read(self, raw: str | bytes) -> Any:
        """Make an example from typed text, from a file's path, or from a file's bytes; from "" if nothing is given.

        Raises:
            InvalidInput: the input cannot be read, or is longer than the task accepts.
        """

    def notes(self, example: Any) -> list[str]:
        """Notes on an input for the user, such as words that are not in the vocabulary."""

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """Sample inputs from the test split, as text or as the bytes of files; [""] if no input is
        needed. A run stores them in its assets."""


@runtime_checkable
class Classifying(Protocol):
    """A task of classes with names."""

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes, in the order of a model's logits."""


@runtime_checkable
class Visible(Protocol):
    """A task whose batches hold images in another form than a person sees them, such as normalised."""

    def pixels(self, examples: Sequence[Any]) -> Any:
        """The images as a person sees them, (b, c, y, x)."""


@runtime_checkable
class Learning(Protocol):
    """A task that learns something from its training data, such as a vocabulary."""

    def save(self, folder: Path) -> None:
        """Save the learned part in the run's assets, from which the task's factory loads it."""

    def check_trained(self, trained: Any) -> None:
        """Raise InvalidInput if this configuration does not match the one that the run was trained with."""


@runtime_checkable
class Answered(Protocol):
    """A task whose examples include the right answer, so that a picture can show the model while it predicts it."""

    def answer(self, example: Any) -> Any:
        """The right answer, as a prediction."""


@runtime_checkable
class Observing(Protocol):
    """A task that also reads inputs that ask for no answer, to be looked at: a text without a mask."""

    def observe(self, raw: str | bytes) -> Any:
        """The example of an input.

        Raises:
            InvalidInput: as for `Readable.read`.
        """


@runtime_checkable
class Replaying(Protocol):
    """A task that can feed an answer back to the model as if it were the target, to show the model while it writes
    it."""

    def replay(self, example: Any, prediction: Any) -> Any:
        """The example with the prediction as its target."""

    def labels(self, example: Any) -> Mapping[str, Sequence[str]]:
        """The labels of each position along an axis, by the axis's name, such as "source"."""
