"""Streams of training batches. The batch of a number is a function of the seed, so that a killed run goes on alike.

The stream of examples sorts them by size within a window, cuts them into batches, and shuffles those. Any other stream
generates its batches, reads them window by window, or gets them from what the model does; what has a state keeps it in
the checkpoint (`StatefulStream`).
"""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from saccade.core.task import Size, Sized, Task

if TYPE_CHECKING:
    from saccade.core.recipe import Loss


class Share(NamedTuple):
    """One process's part of a batch."""

    batch: Any
    counted: bool = True
    """False where the process has no part and computes only to keep step with the others: its loss counts nothing."""


@runtime_checkable
class Stream(Protocol):
    """Training batches by their number, from 0 on, without end."""

    def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
        """This process's part of a batch. Processes are those of the data axis; all of them together have the batch."""


@runtime_checkable
class StatefulStream(Stream, Protocol):
    """A stream with a state: a carried memory, a replay, an environment. It is asked for one batch after the other."""

    def after(self, batch: int, loss: "Loss") -> None:
        """Called when the loss of a batch is known, with `loss.carry` detached."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON values, of this process."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class ExampleStream:
    """The training examples of a task, sorted by size within a window, cut into batches, shuffled; over all epochs.

    A batch of a number is the same in every run of the seed. Augmentation draws from a generator of that number, so it
    differs from epoch to epoch.

    Args:
        task: its training examples are read at once.
        batch_size: the most that a batch holds, padding counted: one side of its largest example times its examples;
            or examples, where the task has no sizes.
        window: examples that are sorted together.
        seed: seed of the shuffles.
        side: the side that is counted, and sorted by first: input is read by the model, output is written.
    """

    def __init__(
        self, task: Task, *, batch_size: int, window: int, seed: int, side: Literal["input", "output"] = "output"
    ) -> None:
        self.task, self.batch_size, self.window, self.seed, self.side = task, batch_size, window, seed, side
        self.examples = task.examples("train")
        self.sizes = [keys(size, side) for size in sizes_of(task, self.examples)]
        self._epoch: tuple[int, int, list[list[int]]] = (0, 0, [])  # its number, that of its first batch, its batches

    def epoch(self, number: int) -> list[list[int]]:
        """The batches of one epoch, as indices of examples."""
        shuffle = random.Random(f"{self.seed}/{number}").shuffle
        order = list(range(len(self.sizes)))
        shuffle(order)
        batches: list[list[int]] = []
        for first in range(0, len(order), self.window):
            rows = sorted(order[first : first + self.window], key=lambda index: self.sizes[index])
            batches += cut(rows, [size[0] for size in self.sizes], self.batch_size)
        shuffle(batches)
        return batches

    def rows(self, batch: int) -> list[int]:
        """The examples of a batch."""
        number, first, batches = self._epoch
        if not batches or batch < first:
            number, first, batches = 0, 0, self.epoch(0)
        while batch >= first + len(batches):
            number, first = number + 1, first + len(batches)
            batches = self.epoch(number)
        self._epoch = number, first, batches
        return batches[batch - first]

    def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
        import torch

        rows = self.rows(batch)
        own = rows[rank::processes]
        seed = random.Random(f"{self.seed}/{batch}/{rank}").getrandbits(63)
        generator = torch.Generator().manual_seed(seed)
        return Share(self.task.collate([self.examples[row] for row in own or rows[:1]], generator), bool(own))


def sizes_of(task: Task, examples: Sequence[Any]) -> list[Size]:
    """The size of each example; 1 where the task has no sizes."""
    return [task.size(example) for example in examples] if isinstance(task, Sized) else [Size(1, 1)] * len(examples)


def keys(size: Size, side: Literal["input", "output"]) -> tuple[int, int]:
    """The size with one side first."""
    return (size.output, size.input) if side == "output" else (size.input, size.output)


def cut(order: Sequence[int], sizes: Sequence[int], most: int) -> list[list[int]]:
    """Consecutive batches of at most `most`: the largest size of a batch times its examples.

    An example that is larger than that is a batch of its own.
    """
    batches: list[list[int]] = []
    largest = 0
    for index in order:
        largest = max(largest, sizes[index])
        if not batches or largest * (len(batches[-1]) + 1) > most:
            batches.append([])
            largest = sizes[index]
        batches[-1].append(index)
    return batches


def in_order(sizes: Sequence[Size], most: int) -> list[list[int]]:
    """All examples once, in batches of similar size, largest last: for evaluation.

    A batch holds at most `most` of the larger side of its examples: of the input where how much a model will write is
    not known, and is at least 1.
    """
    widest = [max(size) for size in sizes]
    return cut(sorted(range(len(sizes)), key=lambda index: (widest[index], sizes[index])), widest, most)
