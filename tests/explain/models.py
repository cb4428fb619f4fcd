"""Models that several tests share."""

from torch import Tensor, nn


class Twice(nn.Module):
    """Two layers that share one module."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(size, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = x + self.attention(x, x, x)[0]
        return x
