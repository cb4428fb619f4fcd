"""Orders in which a text is factorised, and what each position may see. Yang et al. 2019, arXiv:1906.08237, sections
2.2 and 2.3.

    log p(x) = sum_t log p(x_{z_t} | x_{z_1}..x_{z_t-1})          z an order, a permutation of the positions
    content:  z_t sees z_1..z_t        query:  z_t sees z_1..z_t-1

Only the order changes: the positions stay those of the text.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class Order(NamedTuple):
    """An order of each text, and which positions are predicted."""

    ranks: Int[Tensor, "b t"]
    """When each position comes, from 0."""
    targets: Int[Tensor, "b n"] | None = None
    """The positions that are predicted, from left to right; None: all."""


class Masks(NamedTuple):
    """True where a position may see a key of memory and text; the rows of `query` are those of the targets."""

    content: Bool[Tensor, "b 1 t k"]
    query: Bool[Tensor, "b 1 n k"]


def draw(
    rows: int, length: int, partial: int = 1, block: int | None = None, generator: torch.Generator | None = None
) -> Order:
    """An order of each row, all equally likely.

    Args:
        rows: number of texts.
        length: their positions.
        partial: K: the last 1/K of an order is predicted, at least one position.
        block: positions of a block, which divides the length. Each block is ordered by itself, and the blocks follow
            from left to right. None: all positions are one block.
        generator: of the draws; None: torch's global random state.
    """
    size = block or length
    # the inverse of a random permutation is one, so what sorts random numbers may as well be the ranks
    within = torch.rand(rows, length // size, size, generator=generator).argsort(-1)
    ranks = (within + size * torch.arange(length // size)[:, None]).flatten(1)
    if partial == 1:
        return Order(ranks)
    last = (within >= size - max(1, size // partial)).flatten(1)
    return Order(ranks, last.nonzero()[:, 1].view(rows, -1))


def masks(order: Order, memory: int = 0, real: Bool[Tensor, "b t"] | None = None) -> Masks:
    """What both streams may see: all of a memory, and what came before in the order.

    Args:
        memory: positions of the memory.
        real: False at padding, which nothing sees.
    """
    ranks, own = order.ranks, order.ranks
    if order.targets is not None:
        own = ranks.gather(1, order.targets)
    content, query = ranks[:, :, None] >= ranks[:, None], own[:, :, None] > ranks[:, None]
    found = []
    for allowed in (content, query):
        seen = allowed if real is None else allowed & real[:, None]
        before = seen.new_ones(*seen.shape[:2], memory)
        found.append(torch.cat([before, seen], 2)[:, None])
    return Masks(*found)
