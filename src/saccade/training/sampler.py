"""Seeded, resumable order of batches: sorted by length within a window, cut by size, shuffled.

The batch of a step is a function of the seed and the step alone, so a run that goes on at step n sees what an
uninterrupted one would have seen.
"""

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

Cost = tuple[int, ...]


def cut(order: Sequence[int], costs: Sequence[Cost], batch_tokens: int) -> list[list[int]]:
    """Consecutive batches of at most `batch_tokens`: the largest first cost of a batch times its examples.

    An example that is larger than that is a batch of its own.
    """
    batches: list[list[int]] = []
    largest = 0
    for index in order:
        largest = max(largest, costs[index][0])
        if not batches or largest * (len(batches[-1]) + 1) > batch_tokens:
            batches.append([])
            largest = costs[index][0]
        batches[-1].append(index)
    return batches


def in_order(costs: Sequence[Cost], batch_tokens: int) -> list[list[int]]:
    """All examples once, longest last: for evaluation."""
    return cut(sorted(range(len(costs)), key=lambda index: costs[index]), costs, batch_tokens)


class BatchSampler(Sampler[list[int]]):
    """Batches of indices for steps `start` to `stop`, over as many epochs as it takes.

    Args:
        costs: of each example the sizes it is sorted by; the first is what a batch may hold so much of.
        batch_tokens: what a batch holds at most, padding counted.
        window: examples sorted together.
        seed: of the shuffles.
        stop: batches in all.
    """

    def __init__(self, costs: Sequence[Cost], batch_tokens: int, window: int, seed: int, stop: int) -> None:
        self.costs, self.batch_tokens, self.window, self.seed, self.stop = costs, batch_tokens, window, seed, stop
        self.start = 0

    def epoch(self, number: int) -> list[list[int]]:
        """The batches of one epoch."""
        shuffle = random.Random(f"{self.seed}/{number}").shuffle
        order = list(range(len(self.costs)))
        shuffle(order)
        batches: list[list[int]] = []
        for first in range(0, len(order), self.window):
            rows = sorted(order[first : first + self.window], key=lambda index: self.costs[index])
            batches += cut(rows, self.costs, self.batch_tokens)
        shuffle(batches)
        return batches

    def __iter__(self) -> Iterator[list[int]]:
        step, number = 0, 0
        while step < self.stop:
            batches = self.epoch(number)
            yield from batches[max(0, self.start - step) : self.stop - step]
            step, number = step + len(batches), number + 1

    def __len__(self) -> int:
        return self.stop  # the engine counts the batches before `start` as well
