"""How good a model is on the validation split: its loss, or the decisive metric where no loss says it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from saccade.core.errors import InvalidInput
from saccade.core.stream import in_order, sizes_of
from saccade.core.task import Task
from saccade.training.config import TrainingConfig
from saccade.training.device import evaluating
from saccade.training.processes import Processes
from saccade.training.sharding import reshard
from saccade.training.update import Gradients

Evaluate = Callable[[nn.Module], float]


class Validated(NamedTuple):
    name: str
    """As the metrics call it."""
    value: float
    sign: int
    """1 where less is better, -1 where more is."""


class Validation:
    """The validation split, cut into batches that are collated when they are needed."""

    def __init__(self, task: Task, config: TrainingConfig, processes: Processes, evaluate: Evaluate | None) -> None:
        self.task, self.processes, self.evaluate = task, processes, evaluate
        self.examples = task.examples("validation")
        self.batches = in_order(sizes_of(task, self.examples), config.batch_size)
        if not self.batches:
            raise InvalidInput("the validation split has no examples; training needs one at least")

    def __call__(self, gradients: Gradients, step: int) -> Validated:
        """Validate after a step.

        Raises:
            InvalidInput: there is nothing that the loss counts.
            ValueError: there is no loss, and no `evaluate`.
        """
        try:
            return self._validated(gradients, step)
        finally:
            reshard(gradients.call)

    def _validated(self, gradients: Gradients, step: int) -> Validated:
        with evaluating(gradients.model):
            loss = self._loss(gradients, step)
            if loss is not None:
                return Validated("validation_loss", loss, 1)
            if self.evaluate is None:
                raise ValueError("the objective returns no loss in evaluation; give fit an evaluate")
            value = self.processes.agree(float(gradients.call(self.evaluate)))
        return Validated(f"validation_{self.task.metric}", value, 1 if self.task.direction == "min" else -1)

    def _loss(self, gradients: Gradients, step: int) -> float | None:
        """The mean over all batches; each process takes some of them, and they are added up in one order."""
        rank, count, size = self.processes.data_rank, self.processes.data_count, len(self.batches)
        rows: list[list[float]] = []
        weights: list[float] = []
        # as many batches for each, since a sharded model needs all processes for each; what is too many counts nothing
        for place in range(rank, -(-size // count) * count, count):
            batch = self.example(place % size)
            parts = gradients.call(gradients.loss, batch, step).parts
            if not parts:
                return None
            weights = [part.weight for part in parts.values()]
            rows = rows or [[0.0] * (2 * len(parts)) for _ in range(size)]
            if place < size:
                counts = [float(part.count) for part in parts.values()]
                sums = [n * float(part.value) if n else 0.0 for n, part in zip(counts, parts.values(), strict=True)]
                rows[place] = [*counts, *sums]
        totals = [0.0] * (2 * len(weights))
        for row in self.processes.total(rows):
            totals = [total + number for total, number in zip(totals, row, strict=True)]
        terms = [w * s / n for w, n, s in zip(weights, totals, totals[len(weights) :], strict=False) if n]
        if not terms:
            raise InvalidInput("the loss counts nothing in the validation split")
        return sum(terms)

    def example(self, place: int = 0) -> Any:
        """A batch; the first is the smallest."""
        return self.task.collate([self.examples[row] for row in self.batches[place]])
