"""What to remember: recurrent cells and external memories, one per file."""

from saccade.memory.clockwork_rnn import ClockworkRNN, ClockworkRNNState
from saccade.memory.delayed_rnn import DelayedRNN, DelayedRNNState
from saccade.memory.dnc import DNC, DNCState
from saccade.memory.dynamic_memory_network import DynamicMemoryNetwork
from saccade.memory.end_to_end_memory_network import EndToEndMemoryNetwork
from saccade.memory.gru import GRU, GRUState
from saccade.memory.lstm import LSTM, LSTMState
from saccade.memory.memory_network import MemoryNetwork
from saccade.memory.ntm import NTM, NTMState
from saccade.memory.rnn import RNN, RNNState
from saccade.memory.sparse_access_memory import SparseAccessMemory, SparseAccessMemoryState

__all__ = [
    "DNC", "GRU", "LSTM", "NTM", "RNN", "ClockworkRNN", "ClockworkRNNState", "DNCState", "DelayedRNN",
    "DelayedRNNState", "DynamicMemoryNetwork", "EndToEndMemoryNetwork", "GRUState", "LSTMState", "MemoryNetwork",
    "NTMState", "RNNState", "SparseAccessMemory", "SparseAccessMemoryState",
]  # fmt: skip
