"""Where to look: one mechanism a file, all with `prepare`, `initial_state` and `read`."""

from saccade.attention.additive import AdditiveAttention
from saccade.attention.reading import Attention, Reading

__all__ = ["AdditiveAttention", "Attention", "Reading"]
