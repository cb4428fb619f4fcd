"""Copy. Graves et al. 2014, arXiv:1410.5401, 4.1: a sequence, then an end mark; then the sequence is due."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from saccade.core.config import config
from saccade.tasks.algorithms.algorithm import Algorithm, Batch, Shape, beyond, bits, drawn_between, rows_of, rows_text

Bits = Annotated[int, Field(ge=1, le=64)]
Length = Annotated[int, Field(ge=1, le=1000)]


@config
class Copy(Algorithm):
    """Repeat a sequence of bit rows once."""

    name: Literal["copy"] = "copy"
    bits: Bits = 8
    """Bits of a row."""
    longest: Length = 20
    """Most rows in training; lengths are uniform from 1."""
    farthest: Length = 120
    """Longest sequence of the curve of generalisation."""

    @property
    def input_size(self) -> int:
        return self.bits + 1

    @property
    def output_size(self) -> int:
        return self.bits

    @property
    def largest(self) -> int:
        return self.longest

    def shape(self, generator: torch.Generator) -> Shape:
        return (drawn_between(1, self.longest, generator),)

    def beyond(self, generator: torch.Generator) -> list[Shape]:
        return [(length,) for length in beyond(self.longest, self.farthest)]

    def draw(self, shape: Shape, count: int, generator: torch.Generator) -> Batch:
        return copied(bits((count, shape[0], self.bits), generator))

    def read(self, text: str) -> tuple[int, Batch]:
        rows = rows_of(text, self.bits, f"such as {'10' * (self.bits // 2) + '1' * (self.bits % 2)}")
        return len(rows), copied(rows[None])

    def show(self, inputs: Float[Tensor, "t i"]) -> str:
        return rows_text(inputs[: len(inputs) // 2, : self.bits])


def copied(rows: Float[Tensor, "b l w"]) -> Batch:
    """The last channel of the inputs is the end mark; while the copy is due, inputs are zero."""
    count, length, width = rows.shape
    inputs, targets = rows.new_zeros(count, 2 * length + 1, width + 1), rows.new_zeros(count, 2 * length + 1, width)
    inputs[:, :length, :width] = rows
    inputs[:, length, width] = 1
    targets[:, length + 1 :] = rows
    counted = torch.zeros(count, 2 * length + 1, dtype=torch.bool)
    counted[:, length + 1 :] = True
    return Batch(inputs, targets, counted)
