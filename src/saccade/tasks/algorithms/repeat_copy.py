"""Repeat copy. Graves et al. 2014, arXiv:1410.5401, 4.2: a sequence and a number; then that many copies and an end mark
are due."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from saccade.core.config import config
from saccade.core.errors import InvalidInput
from saccade.tasks.algorithms.algorithm import Algorithm, Batch, Shape, beyond, bits, drawn_between, rows_of, rows_text
from saccade.tasks.algorithms.copy import Bits, Length


@config
class RepeatCopy(Algorithm):
    """Repeat a sequence of bit rows a given number of times, and then emit an end mark."""

    name: Literal["repeat-copy"] = "repeat-copy"
    bits: Bits = 8
    """Bits of a row."""
    longest: Length = 10
    """Most rows in training; lengths are uniform from 1."""
    repeats: Annotated[int, Field(ge=2, le=100)] = 10
    """Most copies in training; the number is uniform from 1."""
    farthest: Length = 20
    """Longest sequence of the curve of generalisation."""

    @property
    def input_size(self) -> int:
        return self.bits + 2

    @property
    def output_size(self) -> int:
        return self.bits + 1

    @property
    def largest(self) -> int:
        return self.longest

    @property
    def scale(self) -> tuple[float, float]:
        """Mean and standard deviation of the number of copies in training."""
        return (self.repeats + 1) / 2, ((self.repeats**2 - 1) / 12) ** 0.5

    def shape(self, generator: torch.Generator) -> Shape:
        return drawn_between(1, self.longest, generator), drawn_between(1, self.repeats, generator)

    def beyond(self, generator: torch.Generator) -> list[Shape]:
        return [(length, drawn_between(1, self.repeats, generator)) for length in beyond(self.longest, self.farthest)]

    def draw(self, shape: Shape, count: int, generator: torch.Generator) -> Batch:
        return self.encode(bits((count, shape[0], self.bits), generator), shape[1])

    def encode(self, rows: Float[Tensor, "b l w"], repeats: int) -> Batch:
        """Input channels: the row, the end mark, and the number of copies with mean 0 and variance 1; output channels:
        the row and an end mark."""
        count, length, width = rows.shape
        mean, deviation = self.scale
        steps = length + 1 + length * repeats + 1
        inputs, targets = rows.new_zeros(count, steps, width + 2), rows.new_zeros(count, steps, width + 1)
        inputs[:, :length, :width] = rows
        inputs[:, length, width] = 1
        inputs[:, length, width + 1] = (repeats - mean) / deviation
        targets[:, length + 1 : -1, :width] = rows.repeat(1, repeats, 1)
        targets[:, -1, width] = 1
        counted = torch.zeros(count, steps, dtype=torch.bool)
        counted[:, length + 1 :] = True
        return Batch(inputs, targets, counted)

    def read(self, text: str) -> tuple[int, Batch]:
        sequence, _, number = text.partition("x")
        number = number.strip()
        if not number.isdecimal() or not 1 <= int(number) <= 100:
            example = f"{'1' * self.bits} {'0' * self.bits} x 3"
            raise InvalidInput(f"expected rows of bits, x, and 1 to 100 copies, such as {example!r}; got {text[:80]!r}")
        rows = rows_of(sequence, self.bits, "then x and a number")
        return len(rows), self.encode(rows[None], int(number))

    def show(self, inputs: Float[Tensor, "t i"]) -> str:
        length = int(inputs[:, self.bits].argmax())
        mean, deviation = self.scale
        return f"{rows_text(inputs[:length, : self.bits])} x {round(float(inputs[length, -1]) * deviation + mean)}"

    def answer(self, rows: tuple[str, ...]) -> str:
        """A row with its end mark set is followed by "end"."""
        return " ".join(row[:-1] + (" end" if row[-1] == "1" else "") for row in rows[:-1]) + (
            " end" if rows and rows[-1][-1] == "1" else " no end"
        )
