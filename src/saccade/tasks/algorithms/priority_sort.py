"""Priority sort. Graves et al. 2014, arXiv:1410.5401, 4.5: rows with a priority each; then the rows with the highest
priorities are due, the highest first."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from saccade.core.config import config
from saccade.core.errors import InvalidInput
from saccade.tasks.algorithms.algorithm import Algorithm, Batch, Shape, bits, row_text, rows_of
from saccade.tasks.algorithms.copy import Bits

Rows = Annotated[int, Field(ge=1, le=200)]


@config
class PrioritySort(Algorithm):
    """Sort bit rows by the priority that comes with each."""

    name: Literal["priority-sort"] = "priority-sort"
    bits: Bits = 8
    """Bits of a row."""
    rows: Rows = 20
    """Rows of a sequence."""
    sorted: Rows = 16
    """Rows of the answer: those with the highest priorities."""

    size_name = "rows"

    @model_validator(mode="after")
    def check_rows(self) -> "PrioritySort":
        if self.sorted > self.rows:
            raise ValueError(f"sorted must be at most the {self.rows} rows of a sequence, not {self.sorted}")
        return self

    @property
    def input_size(self) -> int:
        return self.bits + 2

    @property
    def output_size(self) -> int:
        return self.bits

    @property
    def largest(self) -> int:
        return self.rows

    def shape(self, generator: torch.Generator) -> Shape:
        return (self.rows,)

    def draw(self, shape: Shape, count: int, generator: torch.Generator) -> Batch:
        rows = bits((count, shape[0], self.bits), generator)
        return self.encode(rows, 2 * torch.rand(count, shape[0], generator=generator) - 1)

    def encode(self, rows: Float[Tensor, "b n w"], priorities: Float[Tensor, "b n"]) -> Batch:
        """Channel w is the priority, channel w + 1 the end mark."""
        count, number, width = rows.shape
        due = min(self.sorted, number)
        inputs = rows.new_zeros(count, number + 1 + due, width + 2)
        inputs[:, :number, :width] = rows
        inputs[:, :number, width] = priorities
        inputs[:, number, width + 1] = 1
        order = priorities.argsort(dim=1, descending=True, stable=True)[:, :due, None]
        targets = rows.new_zeros(*inputs.shape[:2], width)
        targets[:, number + 1 :] = rows.gather(1, order.expand(-1, -1, width))
        counted = torch.zeros(inputs.shape[:2], dtype=torch.bool)
        counted[:, number + 1 :] = True
        return Batch(inputs, targets, counted)

    def read(self, text: str) -> tuple[int, Batch]:
        written, example = [word.partition("@") for word in text.split()], f"{'1' * self.bits}@0.5"
        rows = rows_of(" ".join(row for row, _, _ in written), self.bits, f"each with a priority, such as {example}")
        try:
            priorities = [float(priority) for _, _, priority in written]
        except ValueError:
            priorities = [2.0]
        if not all(-1 <= priority <= 1 for priority in priorities):
            raise InvalidInput(f"expected rows with priorities from -1 to 1, such as {example}; got {text[:80]!r}")
        return len(rows), self.encode(rows[None], torch.tensor([priorities]))

    def show(self, inputs: Float[Tensor, "t i"]) -> str:
        """Priorities have nine digits, which is exact in float32."""
        number = int(inputs[:, -1].argmax())
        return " ".join(f"{row_text(row[: self.bits])}@{float(row[self.bits]):.9g}" for row in inputs[:number])
