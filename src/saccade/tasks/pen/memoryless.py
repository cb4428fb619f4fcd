"""A mixture without memory: one distribution for every offset, fitted by expectation maximisation.

A baseline for networks with memory. Offsets follow a mixture of Gaussians and the end of a stroke an independent
Bernoulli distribution, as in the networks (Graves 2013, equation 23), but with the same parameters at every step.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
COMPONENTS, ROUNDS, MOST, NARROWEST = 20, 60, 8000, 1e-3


class Memoryless(NamedTuple):
    """Log weights (n,), means (n, 2) and covariances (n, 2, 2) of the components, and the share of ends."""

    log_weights: Numbers
    means: Numbers
    covariances: Numbers
    ends: float

    def log_density(self, points: Numbers) -> Numbers:
        """Log-density of offsets and ends (points, 3), in nats."""
        ends = np.where(points[:, 2] > 0.5, np.log(self.ends), np.log1p(-self.ends))
        return np.asarray(np.logaddexp.reduce(self._each(points[:, :2]), axis=1) + ends)

    def _each(self, offsets: Numbers) -> Numbers:
        x, y = (offsets[:, None, k] - self.means[:, k] for k in (0, 1))
        precision = np.linalg.inv(self.covariances)
        distance = precision[:, 0, 0] * x**2 + 2 * precision[:, 0, 1] * x * y + precision[:, 1, 1] * y**2
        return np.asarray(
            self.log_weights - np.log(2 * np.pi) - 0.5 * (np.linalg.slogdet(self.covariances)[1] + distance)
        )


def fitted(points: Numbers, seed: int = 1) -> Memoryless:
    """The mixture fitted to offsets and ends (points, 3), of which at most `MOST` are used.

    No component is narrower than a thousandth, as in the networks.
    """
    generator = np.random.default_rng(seed)
    ends = float(np.clip(points[:, 2].mean(), 1e-4, 1 - 1e-4))
    offsets = points[generator.permutation(len(points))[:MOST], :2]
    count = min(COMPONENTS, len(offsets))
    floor = NARROWEST**2 * np.eye(2)
    found = Memoryless(
        np.full(count, -np.log(count)), offsets[:count], np.tile(np.cov(offsets.T) / 4 + floor, (count, 1, 1)), ends
    )
    for _ in range(ROUNDS):
        each = found._each(offsets)
        shares = np.exp(each - np.logaddexp.reduce(each, axis=1)[:, None])
        sizes = shares.sum(0) + 1e-9
        means = shares.T @ offsets / sizes[:, None]
        x, y = (offsets[:, None, k] - means[:, k] for k in (0, 1))
        parts = [(shares * product).sum(0) / sizes for product in (x * x, x * y, x * y, y * y)]
        spread = np.stack(parts, 1).reshape(-1, 2, 2) + floor
        found = Memoryless(np.log(sizes / sizes.sum()), means, spread, ends)
    return found
