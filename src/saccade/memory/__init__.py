"""What to remember: recurrent cells and external memories, one per file."""

from saccade.memory.end_to_end_memory_network import EndToEndMemoryNetwork
from saccade.memory.gru import GRU, GRUState
from saccade.memory.lstm import LSTM, LSTMState
from saccade.memory.memory_network import MemoryNetwork

__all__ = ["GRU", "LSTM", "EndToEndMemoryNetwork", "GRUState", "LSTMState", "MemoryNetwork"]
