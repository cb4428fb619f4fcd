"""Algorithms to learn from examples: endless training sequences, and test sequences from a seed of their own."""

import hashlib
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.core.config import NAMED, Seed, config
from saccade.core.errors import InvalidInput
from saccade.core.stream import Share
from saccade.core.task import Figure, Score, Series
from saccade.tasks.algorithms.algorithm import MOST, Algorithm, Batch, Shape, row_text
from saccade.tasks.algorithms.associative_recall import AssociativeRecall
from saccade.tasks.algorithms.copy import Copy
from saccade.tasks.algorithms.graph import Graph
from saccade.tasks.algorithms.n_grams import NGrams
from saccade.tasks.algorithms.priority_sort import PrioritySort
from saccade.tasks.algorithms.repeat_copy import RepeatCopy

Choice = Annotated[
    Copy | RepeatCopy | AssociativeRecall | NGrams | PrioritySort | Graph, Field(discriminator="name"), NAMED
]


@config
class AlgorithmsConfig:
    """An algorithm, and how many sequences test it."""

    algorithm: Choice = Copy()
    """What is to be learned."""
    validation: Annotated[int, Field(ge=1, le=100_000)] = 160
    """Validation sequences."""
    test: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Test sequences, of sizes as in training."""
    beyond: Annotated[int, Field(ge=0, le=10_000)] = 20
    """More test sequences for each size above those of the training, which count in the curve only."""
    draw: Seed = 1
    """Seed of the validation and test sequences."""


class Example(NamedTuple):
    """One sequence, without padding."""

    size: int
    inputs: Float[Tensor, "t i"]
    targets: Float[Tensor, "t o"]
    counted: Bool[Tensor, " t"]
    beyond: bool = False
    """Whether it is larger than any training sequence."""


class Prediction(NamedTuple):
    """What a network says of one sequence."""

    cost: float
    """Its cross-entropy in bits, summed over all bits that are due."""
    rows: tuple[str, ...]
    """The more probable value of each bit, a row for each time step that counts."""


class AlgorithmsTask:
    """The metric is the cost in bits per sequence: the binary cross-entropy, summed over the bits of an answer."""

    metric = "bits"
    direction: Literal["min"] = "min"
    unit = "bits"
    accepts = ("text",)

    def __init__(self, config: AlgorithmsConfig) -> None:
        self.config, self.algorithm = config, config.algorithm
        self._splits: dict[str, list[Example]] = {}

    def examples(self, split: str) -> Sequence[Example]:
        if split == "train":
            return []  # the stream generates them
        if split not in self._splits:
            self._splits[split] = self._drawn(split)
        return self._splits[split]

    def _drawn(self, split: str) -> list[Example]:
        """Sequences in a random order of sizes, then those beyond the sizes of the training."""
        draw = seeded(f"{self.config.draw}/{split}")
        count = {"validation": self.config.validation, "test": self.config.test}[split]
        shapes = [(self.algorithm.shape(draw), False) for _ in range(count)]
        if split == "test" and self.config.beyond:
            shapes += [(shape, True) for shape in self.algorithm.beyond(draw) for _ in range(self.config.beyond)]
        # all sequences of one shape are drawn at once
        places: dict[tuple[Shape, bool], list[int]] = defaultdict(list)
        for place, key in enumerate(shapes):
            places[key].append(place)
        found: dict[int, Example] = {}
        for (shape, beyond), rows in places.items():
            batch = self.algorithm.draw(shape, len(rows), draw)
            for row, inputs, targets, counted in zip(rows, *batch, strict=True):
                found[row] = Example(shape[0], inputs, targets, counted, beyond)
        return [found[place] for place in range(len(shapes))]

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        """Padding is at the end, and never counted."""
        return Batch(
            pad_sequence([example.inputs for example in examples], True),
            pad_sequence([example.targets for example in examples], True),
            pad_sequence([example.counted for example in examples], True),
        )

    def score(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Score:
        pairs = list(zip(predictions, examples, strict=True))
        costs: dict[int, list[float]] = defaultdict(list)
        for prediction, example in pairs:
            costs[example.size].append(prediction.cost)
        pairs = [pair for pair in pairs if not pair[1].beyond] or pairs
        wrong = [errors(prediction, example) for prediction, example in pairs]
        figures = {
            "bits": Figure(mean([prediction.cost for prediction, _ in pairs]), "bits", "bits per sequence"),
            "wrong": Figure(mean(wrong), "bits", "wrong bits per sequence"),
            "right": Figure(100 * mean([not count for count in wrong]), "%", "sequences without an error"),
            "sequences": Figure(len(pairs)),
        }
        optima = [optimum for _, example in pairs if (optimum := self._optimum(example)) is not None]
        if optima:
            figures["optimum"] = Figure(mean(optima), "bits", "bits per sequence of the best predictor")
        sizes = sorted(costs)
        name = self.algorithm.size_name
        curve = Series(
            sizes, [mean(costs[size]) for size in sizes], name, "bits per sequence",
            counts=[len(costs[size]) for size in sizes],
        )  # fmt: skip
        return Score(figures, {f"by_{name}": curve} if len(sizes) > 1 else {})

    def _optimum(self, example: Example) -> float | None:
        if example.inputs.shape[1] != 1:
            return None
        return self.algorithm.optimum(row_text(example.inputs[:, 0]) + row_text(example.targets[-1]))

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for split in ("validation", "test"):
            for example in self.examples(split):
                for part in (example.inputs, example.targets, example.counted):
                    digest.update(part.numpy().tobytes())
        algorithm: Any = self.algorithm
        sizes = f"{algorithm.size_name} up to {algorithm.largest}"
        return {"data": f"generated sequences: {algorithm.name}, {sizes}", "sha256": digest.hexdigest()}

    def read(self, raw: str | bytes) -> Example:
        """A sequence that a user typed, such as "10110001 01110010" for copy.

        Raises:
            InvalidInput: the text is no sequence of this algorithm, or too long.
        """
        if not isinstance(raw, str):
            raise InvalidInput("expected a sequence as text, not a file")
        if len(raw) > 100_000:
            raise InvalidInput(f"expected at most 100,000 characters, got {len(raw):,}: shorten it")
        size, batch = self.algorithm.read(raw)
        if batch.inputs.shape[1] > 2 * MOST + 1:
            raise InvalidInput(f"expected at most {2 * MOST + 1} time steps, got {batch.inputs.shape[1]}: shorten it")
        inputs, targets, counted = (part[0] for part in batch)
        return Example(size, inputs, targets, counted, size > self.algorithm.largest)

    def notes(self, example: Example) -> list[str]:
        algorithm = self.algorithm
        if not example.beyond:
            return []
        return [f"{algorithm.size_name} is {example.size}; training had at most {algorithm.largest}"]

    def examples_to_type(self, count: int) -> list[str | bytes]:
        return [self.algorithm.show(example.inputs) for example in self.examples("test")[:count]]

    def decode(self, prediction: Prediction) -> str:
        return self.algorithm.answer(prediction.rows)

    def answer(self, example: Example) -> Prediction:
        return Prediction(0.0, tuple(row_text(row) for row in example.targets[example.counted]))

    def compare(self, example: Example, prediction: Prediction) -> Mapping[str, str]:
        return {
            "input": self.algorithm.show(example.inputs),
            "ours": self.decode(prediction),
            "right": self.decode(self.answer(example)),
            "cost": f"{prediction.cost:.4f} bits, {errors(prediction, example)} bits wrong",
        }


class AlgorithmStream:
    """The sequences of a batch, generated from the seed and the batch number; all have one shape, so nothing is
    padding."""

    def __init__(self, algorithm: Algorithm, size: int, seed: int) -> None:
        self.algorithm, self.size, self.seed = algorithm, size, seed

    def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
        draw = seeded(f"{self.seed}/train/{batch}")
        drawn = self.algorithm.draw(self.algorithm.shape(draw), self.size, draw)
        own = range(self.size)[rank::processes]
        rows = slice(rank, None, processes) if own else slice(1)
        return Share(Batch(*(part[rows] for part in drawn)), bool(own))


def errors(prediction: Prediction, example: Example) -> int:
    """How many bits of an answer are wrong."""
    right = "".join(row_text(row) for row in example.targets[example.counted])
    return sum(one != other for one, other in zip("".join(prediction.rows), right, strict=True))


def mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def seeded(text: str) -> torch.Generator:
    return torch.Generator().manual_seed(random.Random(text).getrandbits(63))
