"""Associative recall. Graves et al. 2014, arXiv:1410.5401, 4.3: items, each of several rows; then one of them is asked,
and the item after it is due."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from saccade.core.config import config
from saccade.core.errors import InvalidInput
from saccade.tasks.algorithms.algorithm import Algorithm, Batch, Shape, beyond, bits, drawn_between, rows_of, rows_text
from saccade.tasks.algorithms.copy import Bits


@config
class AssociativeRecall(Algorithm):
    """Given one of several items, recall the item that followed it."""

    name: Literal["associative-recall"] = "associative-recall"
    bits: Bits = 6
    """Bits of a row."""
    rows: Annotated[int, Field(ge=1, le=20)] = 3
    """Rows of an item."""
    most: Annotated[int, Field(ge=2, le=200)] = 6
    """Most items in training; their number is uniform from 2."""
    farthest: Annotated[int, Field(ge=2, le=200)] = 20
    """Most items of the curve of generalisation."""

    size_name = "items"

    @property
    def input_size(self) -> int:
        return self.bits + 2

    @property
    def output_size(self) -> int:
        return self.bits

    @property
    def largest(self) -> int:
        return self.most

    def shape(self, generator: torch.Generator) -> Shape:
        return (drawn_between(2, self.most, generator),)

    def beyond(self, generator: torch.Generator) -> list[Shape]:
        return [(items,) for items in beyond(self.most, self.farthest)]

    def draw(self, shape: Shape, count: int, generator: torch.Generator) -> Batch:
        items = bits((count, shape[0], self.rows, self.bits), generator)
        return recalled(items, torch.randint(shape[0] - 1, (count,), generator=generator))

    def read(self, text: str) -> tuple[int, Batch]:
        stored, mark, asked = text.partition("?")
        wanted = f"as many as {self.rows} rows in each item"
        items = [rows_of(item, self.bits, wanted) for item in [*stored.split(","), asked]] if mark else []
        if len(items) < 3 or any(len(item) != self.rows for item in items):
            raise InvalidInput(
                f"expected two or more items of {self.rows} rows of {self.bits} bits with commas between them, then ? "
                f"and one of the items; got {text[:80]!r}"
            )
        found = [place for place, item in enumerate(items[:-2]) if torch.equal(item, items[-1])]
        if not found:
            raise InvalidInput("expected an item after ? that is listed before it, but not as the last one")
        return len(items) - 1, recalled(torch.stack(items[:-1])[None], torch.tensor(found[:1]))

    def show(self, inputs: Float[Tensor, "t i"]) -> str:
        item = self.rows + 1
        count = int(inputs[:, self.bits].sum())
        items = [rows_text(inputs[n * item + 1 : (n + 1) * item, : self.bits]) for n in range(count)]
        first = count * item + 1
        return f"{', '.join(items)} ? {rows_text(inputs[first : first + self.rows, : self.bits])}"


def recalled(items: Float[Tensor, "b n l w"], asked: Int[Tensor, " b"]) -> Batch:
    """A mark on channel w precedes each item; marks on channel w + 1 enclose the item that is asked."""
    count, number, length, width = items.shape
    block = items.new_zeros(count, number, length + 1, width + 2)
    block[:, :, 0, width] = 1
    block[:, :, 1:, :width] = items
    question = items.new_zeros(count, length + 2, width + 2)
    question[:, [0, -1], width + 1] = 1
    question[:, 1:-1, :width] = items[torch.arange(count), asked]
    silence = items.new_zeros(count, length, width + 2)
    inputs = torch.cat([block.flatten(1, 2), question, silence], 1)
    targets = items.new_zeros(*inputs.shape[:2], width)
    targets[:, -length:] = items[torch.arange(count), asked + 1]
    counted = torch.zeros(inputs.shape[:2], dtype=torch.bool)
    counted[:, -length:] = True
    return Batch(inputs, targets, counted)
