"""Dropout. Srivastava et al. 2014, Journal of Machine Learning Research 15.

    y = x m / (1 - p),   m = 0 with probability p, else 1

On a CPU torch draws one number per element, sequentially, which can take longer than a small layer's product. Here an
element takes 16 bits of a 64-bit number, so p is rounded to a multiple of 1/65,536.
"""

import torch
from torch import Tensor, nn

STEPS = 1 << 16


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, faster on a CPU.

    Args:
        p: share of the elements dropped in training; the others are scaled so that the mean is unchanged.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def forward(self, inputs: Tensor) -> Tensor:
        threshold = round(self.p * STEPS)
        elsewhere = inputs.device.type != "cpu" or torch.compiler.is_compiling()  # where torch's own is as fast
        if not self.training or elsewhere or not 0 < threshold < STEPS:
            return super().forward(inputs)
        count = inputs.numel()
        drawn = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        stay = drawn[:count].view(inputs.shape) >= threshold - STEPS // 2
        return inputs * stay.to(inputs.dtype).mul_(STEPS / (STEPS - threshold))
