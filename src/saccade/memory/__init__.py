"""What to remember: recurrent cells and external memories, one per file."""

from saccade.memory.dynamic_memory_network import DynamicMemoryNetwork
from saccade.memory.end_to_end_memory_network import EndToEndMemoryNetwork
from saccade.memory.gru import GRU, GRUState
from saccade.memory.lstm import LSTM, LSTMState
from saccade.memory.memory_network import MemoryNetwork

__all__ = [
    "GRU", "LSTM", "DynamicMemoryNetwork", "EndToEndMemoryNetwork", "GRUState", "LSTMState", "MemoryNetwork",
]  # fmt: skip
