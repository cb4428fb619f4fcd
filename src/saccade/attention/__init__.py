"""Where to look: one mechanism a file, all with `prepare`, `initial_state` and `read`."""

from saccade.attention.additive import AdditiveAttention
from saccade.attention.dot_product import scaled_dot_product
from saccade.attention.multi_head import MultiHeadAttention
from saccade.attention.positions import LearnedPositions, SinusoidalPositions
from saccade.attention.reading import Attention, Reading

__all__ = [
    "AdditiveAttention",
    "Attention",
    "LearnedPositions",
    "MultiHeadAttention",
    "Reading",
    "SinusoidalPositions",
    "scaled_dot_product",
]
