"""Intervals by bootstrap: against drawing rows one by one, and against the normal interval of a mean."""

import numpy as np
import pytest

from saccade.tasks.bootstrap import SAMPLES, interval


def test_of_a_mean_it_is_the_normal_interval() -> None:
    """1.96 sigma / sqrt(n)."""
    rows = np.stack([np.random.default_rng(3).normal(0.5, 2.0, 400), np.ones(400)], 1)
    low, high = interval(rows, lambda sums: float(sums[0] / sums[1]), 1)
    assert (high - low) / 2 == pytest.approx(1.96 * rows[:, 0].std() / 20, rel=0.08)
    assert low < rows[:, 0].mean() < high
    assert interval(rows, lambda sums: float(sums[0] / sums[1]), 1) == (low, high)
    assert interval(rows, lambda sums: float(sums[0] / sums[1]), 2) != (low, high)


def test_a_sample_has_as_many_rows_drawn_with_replacement() -> None:
    rows = np.array([[1.0, 2.0], [-2.0, 5.0], [4.0, 1.0]])
    seen = list[float]()
    interval(rows, lambda sums: seen.append(float(sums[1])) or 0.0, 1)  # type: ignore[func-returns-value]
    possible = {float(rows[[a, b, c], 1].sum()) for a in range(3) for b in range(3) for c in range(3)}
    assert len(seen) == SAMPLES
    assert set(seen) == possible
    assert seen.count(15.0) / SAMPLES == pytest.approx(1 / 27, abs=0.013)  # three times the second row


def test_one_row_has_one_sample() -> None:
    assert interval(np.array([[3.0, 2.0]]), lambda sums: float(sums[0] / sums[1]), 1) == (1.5, 1.5)
