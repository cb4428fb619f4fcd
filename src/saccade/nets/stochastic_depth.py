"""Stochastic depth. Huang, Sun, Liu, Sedra & Weinberger 2016, arXiv:1603.09382, equation 2.

    y = x + b f(x),   b = 0 with probability p

Drawn for each image, and with b = 1 / (1 - p) otherwise, so that nothing changes in evaluation: the paper multiplies f
by 1 - p there instead.
"""

from torch import Tensor, nn

from saccade.core.errors import InvalidInput


class StochasticDepth(nn.Module):
    """In training, drops the whole residual branch of some images.

    Args:
        rate: probability p that the branch of an image is dropped.

    Raises:
        InvalidInput: a rate outside 0 <= p < 1.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = checked(rate)

    def forward(self, branch: Tensor) -> Tensor:
        """The branch's outputs, (b, ...), before they are added to its inputs."""
        if not self.training or not self.rate:
            return branch
        stays = branch.new_empty(len(branch), *[1] * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        return branch * stays.div_(1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def rising(rate: float, layers: int) -> list[float]:
    """The rates of a stack's layers, in equal steps from 0 at the first to `rate` at the last, as in DeiT; equation 4
    starts one step higher.

    Raises:
        InvalidInput: a rate outside 0 <= p < 1.
    """
    return [checked(rate) * layer / max(layers - 1, 1) for layer in range(layers)]


def checked(rate: float) -> float:
    if not 0 <= rate < 1:
        raise InvalidInput(f"the rate of stochastic depth must be from 0 to below 1, not {rate}")
    return rate
