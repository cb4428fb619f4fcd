"""A batch is a function of seed and number; several processes divide one batch."""

from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from saccade.core.stream import ExampleStream, Share, StatefulStream, Stream, cut, in_order, sizes_of
from saccade.core.task import Size

SIZES = [Size(1 + (5 * i) % 11, 1 + (7 * i) % 13) for i in range(101)]


class Batch(NamedTuple):
    rows: Tensor
    drawn: Tensor | None


class Numbers:
    """Examples are numbers; augmentation is a random number for each."""

    metric, direction, unit = "right", "max", "%"

    def examples(self, split: str) -> list[int]:
        return list(range(len(SIZES)))

    def collate(self, examples: list[int], generator: Any = None) -> Batch:
        return Batch(
            torch.tensor(examples), None if generator is None else torch.rand(len(examples), generator=generator)
        )

    def score(self, predictions: Any, examples: Any) -> Any: ...

    def describe(self) -> dict[str, Any]:
        return {}


class Sized(Numbers):
    def size(self, example: int) -> Size:
        return SIZES[example]


def stream(seed: int = 1, window: int = 29, side: Any = "output", task: Any = None, size: int = 31) -> ExampleStream:
    return ExampleStream(task or Sized(), batch_size=size, window=window, seed=seed, side=side)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_a_cut_keeps_every_example_and_the_limit(sizes: list[int], limit: int) -> None:
    batches = cut(range(len(sizes)), sizes, limit)
    assert [index for batch in batches for index in batch] == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) == 1 or max(sizes[index] for index in batch) * len(batch) <= limit


@pytest.mark.parametrize("side", ["input", "output"])
def test_an_epoch_holds_each_example_once_in_batches_of_like_size(side: str) -> None:
    batches = stream(window=101, side=side).epoch(0)
    assert sorted(index for batch in batches for index in batch) == list(range(101))
    sizes = [[getattr(SIZES[index], side) for index in batch] for batch in batches]
    assert sum(max(batch) - min(batch) for batch in sizes) / len(sizes) < 1
    assert all(len(batch) == 1 or max(batch) * len(batch) <= 31 for batch in sizes)


def test_a_batch_does_not_depend_on_the_order_of_requests() -> None:
    whole = [stream().rows(batch) for batch in range(70)]
    assert len(stream().epoch(0)) < 35, "two epochs"
    one = stream()
    for batch in (0, 69, 3, 34, 35, 34, 1):
        assert one.rows(batch) == whole[batch]


def test_the_seed_and_the_epoch_change_the_order() -> None:
    assert stream(1).epoch(0) != stream(2).epoch(0)
    assert stream().epoch(0) != stream().epoch(1)
    assert stream(3).epoch(2) == stream(3).epoch(2)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_processes_divide_one_batch(processes: int) -> None:
    for batch in range(40):
        shares = [stream().share(batch, rank, processes) for rank in range(processes)]
        found = [row for share in shares if share.counted for row in share.batch.rows.tolist()]
        assert sorted(found) == sorted(stream().rows(batch))
        assert all(len(share.batch.rows) for share in shares), "a share that is not counted can be computed"


def test_augmentation_differs_by_batch_and_process_and_is_reproducible() -> None:
    def drawn(batch: int, rank: int = 0, seed: int = 1) -> list[float]:
        return stream(seed, task=Numbers()).share(batch, rank, 2).batch.drawn.tolist()

    draws = [drawn(0), drawn(1), drawn(0, 1), drawn(0, 0, 2), drawn(100)]
    assert len({each[0] for each in draws}) == len(draws)
    assert drawn(1) == drawn(1)


def test_a_task_without_sizes_counts_examples() -> None:
    assert sizes_of(Numbers(), [5, 6]) == [Size(1, 1)] * 2
    batches = stream(task=Numbers(), window=1000).epoch(0)
    assert sorted(map(len, batches)) == [8, 31, 31, 31]


def test_evaluation_reads_each_example_once_and_cuts_by_the_larger_size() -> None:
    batches = in_order(SIZES, 31)
    assert sorted(index for batch in batches for index in batch) == list(range(101))
    widest = [max(SIZES[index]) for batch in batches for index in batch]
    assert widest == sorted(widest)
    assert all(len(batch) == 1 or max(max(SIZES[i]) for i in batch) * len(batch) <= 31 for batch in batches)


def test_batches_of_recordings_are_cut_by_frames_not_labels() -> None:
    """490 recordings of 65 frames and one label each: the limit is 3,200 frames, not 3,200 labels."""
    assert max(65 * len(batch) for batch in in_order([Size(65, 1)] * 490, 3200)) <= 3200


def test_a_state_is_a_capability() -> None:
    class Endless:
        def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
            return Share(batch)

    class Carrying(Endless):
        def after(self, batch: int, loss: Any) -> None: ...
        def state_dict(self) -> dict[str, Any]: ...
        def load_state_dict(self, state: dict[str, Any]) -> None: ...

    assert isinstance(Endless(), Stream)
    assert not isinstance(Endless(), StatefulStream)
    assert isinstance(Carrying(), StatefulStream)
    assert not isinstance(stream(), StatefulStream)


@pytest.mark.parametrize(("count", "most", "found"), [(64, 31, [2, 31, 31]), (63, 31, [2, 30, 31]), (3, 2, [1, 2])])
def test_a_last_example_is_not_left_alone(count: int, most: int, found: list[int]) -> None:
    """Batch norm needs two; a batch is never larger than it may be."""

    class Few(Numbers):
        def examples(self, split: str) -> list[int]:
            return list(range(count))

    batches = stream(task=Few(), window=1000, size=most).epoch(0)
    assert sorted(map(len, batches)) == found
    assert sorted(row for batch in batches for row in batch) == list(range(count))
