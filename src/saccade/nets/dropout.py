"""Dropout. Srivastava et al. 2014, Journal of Machine Learning Research 15.

    y = x m / (1 - p),   m = 0 with probability p, else 1

On a CPU torch draws a number for each element, one after the other, which can cost more than a small layer's product.
Here an element takes 16 bits of a 64-bit number, so that p is rounded to a 65,536th.
"""

import torch
from torch import Tensor, nn

STEPS = 1 << 16


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, faster on a CPU.

    Args:
        p: share of the elements that is dropped in training; those that stay are scaled so that the mean stays.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def forward(self, inputs: Tensor) -> Tensor:
        threshold = round(self.p * STEPS)
        elsewhere = inputs.device.type != "cpu" or torch.compiler.is_compiling()  # there torch's own is as fast
        if not self.training or elsewhere or not 0 < threshold < STEPS:
            return super().forward(inputs)
        count = inputs.numel()
        drawn = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        stay = drawn[:count].view(inputs.shape) >= threshold - STEPS // 2
        return inputs * stay.to(inputs.dtype).mul_(STEPS / (STEPS - threshold))
