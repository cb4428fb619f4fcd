"""Windows of a text, each with an order in which it is predicted."""

import random
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saccade.core.stream import Share
from saccade.systems.xlnet.orders import draw
from saccade.tasks.text import Batch, TextTask
from saccade.tasks.text.stream import Windows


class OrderedBatch(NamedTuple):
    """A `Batch` of windows, with an order of each. The first symbol is the last of the window before, and has no place
    in the order."""

    symbols: Int[Tensor, "b t1"]
    mask: Bool[Tensor, "b t1"]
    scored: Bool[Tensor, "b t1"]
    numbers: Int[Tensor, " b"]
    state: Float[Tensor, "b l m d"] | None
    """The memory."""
    ranks: Int[Tensor, "b t"]
    targets: Int[Tensor, "b n"] | None


class OrderedWindows(Windows):
    """The windows of `Windows`; the orders of batch n depend on the seed and on n.

    Args:
        task: the text.
        batch_size: symbols of a batch.
        seed: seed of the orders.
        partial, block: as for `orders.draw`.

    Raises:
        InvalidInput: a text shorter than one batch.
    """

    def __init__(self, task: TextTask, batch_size: int, seed: int, partial: int, block: int | None) -> None:
        super().__init__(task, batch_size)
        self.seed, self.partial, self.block = seed, partial, block

    def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
        found = super().share(batch, rank, processes)
        window: Batch = found.batch
        number = random.Random(f"{self.seed}/{batch}").getrandbits(63)
        generator = torch.Generator().manual_seed(number)
        # those of all rows, so that several processes draw what one does
        ranks, targets = draw(len(self.starts), self.window, self.partial, self.block, generator)
        own = slice(rank, None, processes) if found.counted else slice(1)
        mine = None if targets is None else targets[own]
        return Share(OrderedBatch(*window, ranks=ranks[own], targets=mine), found.counted)
