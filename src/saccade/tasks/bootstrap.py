"""Intervals by bootstrap. Efron 1979, 10.1214/aos/1176344552.

A sample has as many rows as the data, drawn with replacement; an interval holds 95 % of the values of 2,000 samples.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SAMPLES = 2000


def interval(
    rows: NDArray[np.float64], value: Callable[[NDArray[np.float64]], float], seed: int
) -> tuple[float, float]:
    """The ends of the interval of a value that sums of the rows determine.

    Args:
        rows: (n, k), k numbers of each of n independent examples, such as nats and words.
        value: of the k sums of a sample.
        seed: of the samples.
    """
    count = len(rows)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), SAMPLES)
    low, high = np.quantile([value(sums) for sums in drawn @ rows], (0.025, 0.975))
    return float(low), float(high)
