"""Streams of training batches. Batch number n depends only on the seed, so a killed run resumes identically.

`ExampleStream` sorts examples by size within a window, cuts them into batches, and shuffles the batches. Other streams
generate batches, read them window by window, or collect them from an environment; a stream that has a state saves it in
the checkpoint (`StatefulStream`).
"""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from saccade.core.task import Size, Sized

if TYPE_CHECKING:
    from saccade.core.recipe import Loss


class Share(NamedTuple):
    """The part of a batch that one process computes."""

    batch: Any
    counted: bool = True
    """False if the batch has no part for this process, which then computes only to stay in step; its loss is not
    counted."""


@runtime_checkable
class Stream(Protocol):
    """An endless sequence of training batches, numbered from 0."""

    def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
        """This process's part of a batch. `rank` and `processes` are those of the data axis; the parts make up the
        batch."""


@runtime_checkable
class StatefulStream(Stream, Protocol):
    """A stream with a state, such as a carried memory, a replay buffer or an environment. Batches are requested in
    order."""

    def after(self, batch: int, loss: "Loss") -> None:
        """Called after the loss of a batch is computed, with `loss.carry` detached."""

    def state_dict(self) -> dict[str, Any]:
        """The state of this process, as tensors and JSON values; if it is empty in all processes, any number of them
        can resume the run."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class Examples(Protocol):
    """What a stream needs of a task."""

    def examples(self, split: str) -> Sequence[Any]: ...

    def collate(self, examples: Sequence[Any], generator: Any = None) -> Any: ...


class ExampleStream:
    """The training examples of a task, sorted by size within a window, cut into batches and shuffled, epoch after
    epoch.

    Batch number n is the same in every run with the same seed. Augmentation draws from a generator seeded with n, so it
    differs from epoch to epoch.

    Args:
        task: the task; its training examples are read immediately.
        batch_size: the largest batch: the number of its examples times the size of the largest, that is, padding
            included; or the number of examples, if the task defines no sizes.
        window: number of examples that are sorted together.
        seed: seed of the shuffles.
        side: the size that is counted and sorted by first: the input that the model reads, or the output that it
            writes.
    """

    def __init__(
        self, task: Examples, *, batch_size: int, window: int, seed: int, side: Literal["input", "output"] = "output"
    ) -> None:
        self.task, self.batch_size, self.window, self.seed, self.side = task, batch_size, window, seed, side
        self.examples = task.examples("train")
        self.sizes = [keys(size, side) for size in sizes_of(task, self.examples)]
        self._epoch: tuple[int, int, list[list[int]]] = (0, 0, [])  # epoch, its first batch, its batches

    def epoch(self, number: int) -> list[list[int]]:
        """The batches of an epoch, as example indices."""
        shuffle = random.Random(f"{self.seed}/{number}").shuffle
        order = list(range(len(self.sizes)))
        shuffle(order)
        batches: list[list[int]] = []
        for first in range(0, len(order), self.window):
            rows = sorted(order[first : first + self.window], key=lambda index: self.sizes[index])
            batches += cut(rows, [size[0] for size in self.sizes], self.batch_size)
            if not isinstance(self.task, Sized):
                accompany(batches)
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


def sizes_of(task: Examples, examples: Sequence[Any]) -> list[Size]:
    """The size of each example; 1 if the task defines no sizes."""
    return [task.size(example) for example in examples] if isinstance(task, Sized) else [Size(1, 1)] * len(examples)


def keys(size: Size, side: Literal["input", "output"]) -> tuple[int, int]:
    """The two sizes, the given side first."""
    return (size.output, size.input) if side == "output" else (size.input, size.output)


def accompany(batches: list[list[int]]) -> None:
    """Move an example to the last batch if it has one alone, in which batch norm finds no variance, from the batch
    before it, if that has three or more."""
    if len(batches) > 1 and len(batches[-1]) == 1 and len(batches[-2]) > 2:
        batches[-1].insert(0, batches[-2].pop())


def cut(order: Sequence[int], sizes: Sequence[int], most: int) -> list[list[int]]:
    """Cut consecutive batches whose largest size times their number of examples is at most `most`.

    A larger example is a batch of its own.
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
    """All examples once, in batches of similar size, largest last, for evaluation.

    A batch holds at most `most` of the larger of input and output, counted as in `cut`.
    """
    widest = [max(size) for size in sizes]
    return cut(sorted(range(len(sizes)), key=lambda index: (widest[index], sizes[index])), widest, most)
