"""Dynamic n-grams. Graves et al. 2014, arXiv:1410.5401, 4.4: bits drawn from a table that is new for each sequence.

p(c) ~ Beta(1/2, 1/2) for each context c of the last n - 1 bits;  bit ~ Bernoulli(p(c))
the best predictor:  P(1 | c) = (N1(c) + 1/2) / (N0(c) + N1(c) + 1)       N counts what followed c so far
"""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from saccade.core.config import config
from saccade.core.errors import InvalidInput
from saccade.tasks.algorithms.algorithm import MOST, Algorithm, Batch, Shape, row_text


@config
class NGrams(Algorithm):
    """Predict the next bit of a sequence from a random table of n-grams."""

    name: Literal["n-grams"] = "n-grams"
    order: Annotated[int, Field(ge=2, le=12)] = 6
    """n: the next bit depends on the n - 1 bits before it."""
    length: Annotated[int, Field(ge=13, le=MOST)] = 200
    """Bits of a sequence."""

    @property
    def input_size(self) -> int:
        return 1

    @property
    def output_size(self) -> int:
        return 1

    @property
    def largest(self) -> int:
        return self.length

    def shape(self, generator: torch.Generator) -> Shape:
        return (self.length,)

    def draw(self, shape: Shape, count: int, generator: torch.Generator) -> Batch:
        context = self.order - 1
        # sin^2 of a uniform angle has the distribution Beta(1/2, 1/2)
        table = (torch.rand(count, 2**context, generator=generator) * math.pi / 2).sin() ** 2
        uniform = torch.rand(count, shape[0], generator=generator)
        places = 2 ** torch.arange(context - 1, -1, -1)
        bits = (uniform < 0.5).long()
        for now in range(context, shape[0]):
            seen = (bits[:, now - context : now] * places).sum(1, keepdim=True)
            bits[:, now] = (uniform[:, now] < table.gather(1, seen)[:, 0]).long()
        return self.encode(bits.float())

    def encode(self, bits: Float[Tensor, "b t"]) -> Batch:
        """Each input is a bit, its target the next one; the first n - 1 bits are not counted, since they are fair."""
        counted = torch.zeros(len(bits), bits.shape[1] - 1, dtype=torch.bool)
        counted[:, self.order - 2 :] = True
        inputs = bits[:, :-1, None]
        return Batch(inputs, bits[:, 1:, None] * counted[:, :, None], counted)

    def read(self, text: str) -> tuple[int, Batch]:
        bits = "".join(text.split())
        if set(bits) - {"0", "1"} or not self.order <= len(bits) <= MOST:
            raise InvalidInput(f"expected {self.order} to {MOST} bits, such as 0110100110010110; got {text[:80]!r}")
        return len(bits), self.encode(torch.tensor([[float(bit) for bit in bits]]))

    def show(self, inputs: Float[Tensor, "t i"]) -> str:
        """The inputs alone: the last bit of the sequence is a target."""
        return row_text(inputs[:, 0])

    def answer(self, rows: tuple[str, ...]) -> str:
        return "".join(rows)

    def optimum(self, targets: str) -> float:
        """The cost of the best predictor, in bits, for the sequence with these bits."""
        context, cost = self.order - 1, 0.0
        counts: dict[str, list[float]] = {}
        for now in range(context, len(targets)):
            seen = counts.setdefault(targets[now - context : now], [0.5, 0.5])
            bit = int(targets[now])
            cost -= math.log2(seen[bit] / sum(seen))
            seen[bit] += 1
        return cost
