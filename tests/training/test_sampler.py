"""The order of batches is a function of seed and step."""

from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.training.sampler import BatchSampler, cut, in_order

COSTS = [(1 + (7 * i) % 13, 1 + (5 * i) % 11) for i in range(101)]


def sampler(seed: int = 1, stop: int = 40, window: int = 29) -> BatchSampler:
    return BatchSampler(COSTS, 31, window, seed, stop)


@given(st.lists(st.tuples(st.integers(1, 50)), min_size=1, max_size=60), st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_a_cut_keeps_every_example_and_the_limit(costs: list[tuple[int]], limit: int) -> None:
    batches = cut(range(len(costs)), costs, limit)
    assert [index for batch in batches for index in batch] == list(range(len(costs)))
    for batch in batches:
        assert len(batch) == 1 or max(costs[index][0] for index in batch) * len(batch) <= limit


def test_an_epoch_holds_each_example_once_in_batches_of_like_length() -> None:
    batches = sampler(window=101).epoch(0)
    assert sorted(index for batch in batches for index in batch) == list(range(101))
    spread = [max(COSTS[i][0] for i in batch) - min(COSTS[i][0] for i in batch) for batch in batches]
    assert sum(spread) / len(spread) < 1


def test_going_on_at_a_step_gives_what_would_have_come() -> None:
    whole = list(sampler())
    assert len(whole) == 40
    for start in (0, 1, 17, 39, 40):
        rest = sampler()
        rest.start = start
        assert list(rest) == whole[start:]


def test_the_seed_and_the_epoch_change_the_order() -> None:
    assert list(sampler(1)) != list(sampler(2))
    assert sampler().epoch(0) != sampler().epoch(1)
    assert list(sampler(3)) == list(sampler(3))


def test_evaluation_sees_each_example_once_sorted() -> None:
    order = [index for batch in in_order(COSTS, 31) for index in batch]
    assert sorted(order) == list(range(101))
    assert [COSTS[index] for index in order] == sorted(COSTS)
