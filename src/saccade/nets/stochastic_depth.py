"""Stochastic depth. Huang et al. 2016, arXiv:1603.09382, equations 2 and 5; scaled in training instead of evaluation.

    y = x + b f(x) / (1 - p),   b = 0 with probability p, else 1, for each example of the batch

f is a block's branch. In evaluation y = x + f(x), which is the mean of what training sees.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput


class StochasticDepth(nn.Module):
    """Drops the branch of whole examples in training: `x + depth(f(x))`. It draws from torch's global state.

    Args:
        p: probability that the branch of an example is dropped.

    Raises:
        InvalidInput: p is not from 0 to below 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise InvalidInput(f"the probability of dropping a branch must be from 0 to below 1, not {p}")
        self.p = p

    def forward(self, branch: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        if not self.training or self.p == 0:
            return branch
        stay = torch.rand(len(branch), device=branch.device) >= self.p
        return branch * (stay.to(branch.dtype) / (1 - self.p)).view(-1, *[1] * (branch.ndim - 1))

    def extra_repr(self) -> str:
        return f"p={self.p}"


def depths(last: float, blocks: int) -> list[float]:
    """The probability of each block, in equal steps from 0 for the first to `last` for the last. Equation 4 of the
    paper starts one step later."""
    return [last * block / max(blocks - 1, 1) for block in range(blocks)]
