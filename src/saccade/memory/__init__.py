"""What to remember: recurrent cells and external memories, one per file."""

from saccade.memory.dnc import DNC, DNCState
from saccade.memory.gru import GRU, GRUState
from saccade.memory.lstm import LSTM, LSTMState
from saccade.memory.ntm import NTM, NTMState

__all__ = ["DNC", "GRU", "LSTM", "NTM", "DNCState", "GRUState", "LSTMState", "NTMState"]
