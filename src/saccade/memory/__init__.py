"""What to remember: recurrent cells and external memories, one a file."""

from saccade.memory.gru import GRU, GRUState

__all__ = ["GRU", "GRUState"]
