"""Validation: the loss on the validation split, or the decisive metric if the objective has no loss in evaluation."""

from collections.abc import Callable
from typing import Any

from torch import nn

from saccade.core.device import evaluating
from saccade.core.errors import InvalidInput
from saccade.core.stream import in_order, sizes_of
from saccade.core.task import Task
from saccade.training.config import TrainingConfig
from saccade.training.processes import Processes
from saccade.training.random_state import derived, drawing_from, seed_everything
from saccade.training.sharding import reshard
from saccade.training.update import Gradients

Evaluate = Callable[[nn.Module], float]


class Validation:
    """The validation split, cut into batches that are collated on demand."""

    def __init__(self, task: Task, config: TrainingConfig, processes: Processes, evaluate: Evaluate | None) -> None:
        self.task, self.processes, self.evaluate, self.seed = task, processes, evaluate, config.seed
        self.examples = task.examples("validation")
        self.batches = in_order(sizes_of(task, self.examples), config.batch_size)
        if not self.batches:
            raise InvalidInput("the validation split has no examples; training needs at least one")

    def __call__(self, gradients: Gradients, step: int) -> tuple[str, float, float]:
        """Validate after a step. Returns the name in the metrics, the value, and the cost: the value or its negative,
        lower is better.

        Raises:
            InvalidInput: the loss counts nothing.
            ValueError: there is neither a loss nor `evaluate`.
        """
        # random draws are the same in each validation, and do not change those of training
        with evaluating(gradients.model), drawing_from(self.seed):
            value, name, sign = self._loss(gradients, step), "loss", 1
            if value is None:
                if self.evaluate is None:
                    raise ValueError("the objective returns no loss in evaluation; give fit an evaluate")
                value = self.processes.agree(float(gradients.call(self.evaluate)))
                name, sign = self.task.metric, 1 if self.task.direction == "min" else -1
        reshard(gradients.call)
        return f"validation_{name}", value, sign * value

    def _loss(self, gradients: Gradients, step: int) -> float | None:
        """The mean over all batches, divided among the processes, and summed in a fixed order."""
        rank, count, size = self.processes.data_rank, self.processes.data_count, len(self.batches)
        rows: list[list[float]] = []
        # every process computes the same number of batches, since a sharded model needs all; extra ones do not count
        for place in range(rank, -(-size // count) * count, count):
            seed_everything(derived(self.seed, place % size, 0))  # each batch draws the same in any process
            parts = gradients.call(gradients.loss, self.example(place % size), step).parts.values()
            if not parts:
                return None
            rows = rows or [[0.0] * (2 * len(parts)) for _ in range(size)]
            if place < size:
                counts = [float(part.count) for part in parts]
                sums = [n * float(part.value) if n else 0.0 for n, part in zip(counts, parts, strict=True)]
                rows[place] = [*counts, *sums]
        totals = [sum(column) for column in zip(*self.processes.total(rows), strict=True)]
        counts, sums = totals[: len(parts)], totals[len(parts) :]
        terms = [part.weight * s / n for part, n, s in zip(parts, counts, sums, strict=True) if n]
        if not terms:
            raise InvalidInput("the loss counts nothing in the validation split")
        return float(sum(terms))

    def example(self, place: int = 0) -> Any:
        """A batch; the first is the smallest."""
        return self.task.collate([self.examples[row] for row in self.batches[place]])
