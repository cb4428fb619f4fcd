"""Exercises: a sequence x, targets y, and the gradient of the loss of a linear recurrent net.

The first one is from a lecture: x = (0, 1), y = (1, 3). The others are drawn from a seed.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from saccade.core.config import Seed, config
from saccade.core.errors import InvalidInput
from saccade.core.task import Figure, Score

LECTURE = "x 0 1 y 1 3"
LONGEST = 100  # time steps


@config
class ExercisesConfig:
    """Exercises: the lecture's, and others drawn from a seed."""

    count: Annotated[int, Field(ge=1, le=1000)] = 20
    """Number of exercises; the first is the lecture's."""
    longest: Annotated[int, Field(ge=1, le=LONGEST)] = 7
    """Most time steps of the others."""
    seed: Seed = 1
    """Seed of the others."""


class Exercise(NamedTuple):
    """Inputs and targets, one of each at every time step."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __str__(self) -> str:
        return f"x {' '.join(f'{value:g}' for value in self.x)} y {' '.join(f'{value:g}' for value in self.y)}"


class Batch(NamedTuple):
    x: Float[Tensor, "b t"]
    y: Float[Tensor, "b t"]
    lengths: Tensor
    """Time steps of each exercise."""


class Gradients(NamedTuple):
    """dL / d theta_1, computed in three ways, in float64."""

    by_hand: float
    autograd: float
    finite_differences: float

    @property
    def spread(self) -> float:
        """The largest difference, relative to the size of the gradient (or to 1, for a small one)."""
        return (max(self) - min(self)) / max(1.0, abs(self.by_hand))


class ExercisesTask:
    """The gradient of each exercise; the metric is how far three ways to compute it differ."""

    metric = "difference"
    direction: Literal["min"] = "min"
    unit = ""
    accepts = ("text",)

    def __init__(self, config: ExercisesConfig) -> None:
        self.config = config

    def examples(self, split: str) -> list[Exercise]:
        if split != "test":
            return []
        draw = torch.Generator().manual_seed(self.config.seed)
        found = [self.read(LECTURE)]
        while len(found) < self.config.count:
            steps = int(torch.randint(1, self.config.longest + 1, (), generator=draw))
            x, y = torch.randint(-3, 4, (2, steps), generator=draw).tolist()
            found.append(Exercise(tuple(map(float, x)), tuple(map(float, y))))
        return found

    def collate(self, examples: Sequence[Exercise], generator: Any = None) -> Batch:
        lengths = [len(example.x) for example in examples]
        padded = torch.zeros(2, len(examples), max(lengths))
        for row, example in enumerate(examples):
            padded[0, row, : lengths[row]] = torch.tensor(example.x)
            padded[1, row, : lengths[row]] = torch.tensor(example.y)
        return Batch(padded[0], padded[1], torch.tensor(lengths))

    def score(self, predictions: Sequence[Gradients], examples: Sequence[Exercise]) -> Score:
        largest = max(prediction.spread for prediction in predictions)
        return Score({
            "difference": Figure(largest, "", "largest relative difference of the three ways"),
            "first": Figure(predictions[0].by_hand, "", "gradient of the first exercise"),
            "exercises": Figure(len(examples)),
        })  # fmt: skip

    def describe(self) -> dict[str, Any]:
        text = "\n".join(map(str, self.examples("test")))
        return {"data": "an exercise of a lecture, and drawn ones", "sha256": hashlib.sha256(text.encode()).hexdigest()}

    def read(self, raw: str | bytes) -> Exercise:
        """An exercise such as "x 0 1 y 1 3"; the lecture's if nothing is given."""
        if isinstance(raw, bytes):
            raise InvalidInput(f"expected an exercise as text, such as {LECTURE!r}")
        inputs, _, targets = (raw or LECTURE).strip().removeprefix("x").partition("y")
        try:
            x, y = (tuple(map(float, part.replace(",", " ").split())) for part in (inputs, targets))
        except ValueError:
            x, y = (), ()
        if not x or len(x) != len(y):
            raise InvalidInput(f"expected as many inputs x as targets y, such as {LECTURE!r}, not {raw!r}")
        if len(x) > LONGEST or not all(math.isfinite(value) and abs(value) <= 1e6 for value in (*x, *y)):
            raise InvalidInput(f"expected at most {LONGEST} time steps, with numbers up to 1,000,000")
        return Exercise(x, y)

    def notes(self, example: Exercise) -> list[str]:
        return []

    def examples_to_type(self, count: int) -> list[str | bytes]:
        return [str(example) for example in self.examples("test")[:count]]

    def decode(self, prediction: Gradients) -> str:
        """Such as "dL/dtheta1 = -4 (by hand -4, autograd -4, finite differences -4)"."""
        ways = ", ".join(f"{name.replace('_', ' ')} {value:.9g}" for name, value in prediction._asdict().items())
        return f"dL/dtheta1 = {prediction.by_hand:.9g} ({ways})"

    def compare(self, example: Exercise, prediction: Gradients) -> Mapping[str, str]:
        return {"exercise": str(example), "gradient": self.decode(prediction)}
