"""What an algorithm is to the task: sizes, draws of whole batches, and a text form that a person can type."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saccade.core.errors import InvalidInput

Shape = tuple[int, ...]
"""The sizes of a sequence, which all sequences of a training batch share; the first is the one that varies."""
MOST = 2000  # time steps of a typed sequence


class Batch(NamedTuple):
    inputs: Float[Tensor, "b t i"]
    targets: Float[Tensor, "b t o"]
    """Bits; 0 where they are not counted."""
    counted: Bool[Tensor, "b t"]
    """The time steps whose outputs are compared with the targets."""


class Algorithm:
    """An algorithm that a network learns from examples of its inputs and outputs."""

    size_name = "length"
    """What the first size of a shape is."""

    @property
    def input_size(self) -> int:
        """Features of an input."""
        raise NotImplementedError

    @property
    def output_size(self) -> int:
        """Bits of an output."""
        raise NotImplementedError

    @property
    def largest(self) -> int:
        """The largest size in training."""
        raise NotImplementedError

    def shape(self, generator: torch.Generator) -> Shape:
        """The sizes of one training batch, or of one test sequence."""
        raise NotImplementedError

    def beyond(self, generator: torch.Generator) -> list[Shape]:
        """Shapes larger than those of the training, for the curve of generalisation."""
        return []

    def draw(self, shape: Shape, count: int, generator: torch.Generator) -> Batch:
        """Sequences of one shape."""
        raise NotImplementedError

    def read(self, text: str) -> tuple[int, Batch]:
        """A typed sequence: its size, and a batch of one.

        Raises:
            InvalidInput: the text is no such sequence.
        """
        raise NotImplementedError

    def show(self, inputs: Float[Tensor, "t i"]) -> str:
        """The text from which `read` makes these inputs."""
        raise NotImplementedError

    def answer(self, rows: tuple[str, ...]) -> str:
        """The rows of bits of an answer, as a person reads them."""
        return " ".join(rows)

    def optimum(self, targets: str) -> float | None:
        """The cost in bits of the best predictor of this sequence of bits, where outputs are random."""
        return None


def drawn_between(low: int, high: int, generator: torch.Generator) -> int:
    """A uniform whole number, both ends included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def bits(shape: Shape, generator: torch.Generator) -> Tensor:
    """Fair random bits, as float."""
    return torch.randint(2, shape, generator=generator).float()


def beyond(largest: int, farthest: int) -> list[int]:
    """Up to ten sizes above `largest`, evenly spaced, the last of them `farthest`."""
    steps = min(10, max(0, farthest - largest))
    return [largest + round((farthest - largest) * number / steps) for number in range(1, steps + 1)]


def row_text(row: Tensor) -> str:
    return "".join(str(int(bit)) for bit in row.tolist())


def rows_text(rows: Float[Tensor, "t w"]) -> str:
    """Rows of bits, such as "10110001 01110010"."""
    return " ".join(map(row_text, rows))


def rows_of(text: str, width: int, wanted: str) -> Float[Tensor, "t w"]:
    """Rows of bits that were typed.

    Raises:
        InvalidInput: no rows, other characters than 0 and 1, or rows of another width.
    """
    rows = text.split()
    wrong = next((row for row in rows if set(row) - {"0", "1"} or len(row) != width), None)
    if not rows or wrong is not None or len(rows) > MOST:
        got = "nothing" if not rows else f"{len(rows)} rows" if wrong is None else repr(wrong[:80])
        raise InvalidInput(f"expected rows of {width} bits (at most {MOST}), {wanted}; got {got}")
    return torch.tensor([[float(bit) for bit in row] for row in rows])
