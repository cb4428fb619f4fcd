"""A recurrent language model. Karpathy, Johnson & Fei-Fei 2015, arXiv:1506.02078, section 3.

    h_t = layers of GRU(embedding of x_t, h_t-1)          or LSTM, or tanh units
    p(x_t+1 | x_1..x_t) = softmax(W h_t + b)

The state goes on from window to window of the text.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.config import Size, config
from saccade.core.tap import Tap
from saccade.nets.dropout import Dropout
from saccade.nets.recurrent_stack import RecurrentStack, StackState


@config
class CharRNNConfig:
    """Sizes of the net."""

    cell: Literal["lstm", "gru", "rnn"] = "gru"
    """The recurrent cell."""
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    """Recurrent layers."""
    embedding_size: Size = 64
    """Features of a symbol."""
    hidden_size: Size = 384
    """Units of each layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout rate of the outputs of each layer."""
    weight_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout rate of the weights from one state to the next (Merity et al. 2018)."""


class CharRNN(nn.Module):
    """Predicts each next symbol.

    Args:
        config: sizes.
        symbols: number of symbols.
    """

    def __init__(self, config: CharRNNConfig, symbols: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, config.embedding_size)
        self.recurrent = RecurrentStack(
            config.embedding_size,
            config.hidden_size,
            cell=config.cell,
            layers=config.layers,
            dropout=config.dropout,
            weight_dropout=config.weight_dropout,
        )
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.hidden_size, symbols)
        self.cells = Tap("b l h")

    def forward(
        self, symbols: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"], state: Float[Tensor, "b p h"] | None = None
    ) -> tuple[Float[Tensor, "b t v"], Float[Tensor, "b p h"]]:
        """The logits of the symbol after each, and the state after the last one.

        Args:
            mask: False at padding.
            state: the state to go on from: hidden states and cells of all layers; None at the beginning of a text.
        """
        weight = self.output.weight
        before = None if state is None else self.unpacked(state.to(weight.dtype))
        outputs, after = self.recurrent(self.embedding(symbols), mask, before)
        return F.linear(self.dropout(outputs), weight, self.output.bias), packed(after)

    def step(
        self, symbols: Int[Tensor, " b"], state: Float[Tensor, "b p h"]
    ) -> tuple[Float[Tensor, "b v"], Float[Tensor, "b p h"]]:
        """Read one symbol. The tap `cells` hears tanh of each cell, or the hidden state of cells without one."""
        outputs, after = self.recurrent.step(self.embedding(symbols), self.unpacked(state))
        self.cells.lazy(lambda: after.hidden if after.cell is None else after.cell.tanh())
        return F.linear(self.dropout(outputs), self.output.weight, self.output.bias), packed(after)

    def initial_state(self, batch_size: int) -> Float[Tensor, "b p h"]:
        return packed(self.recurrent.initial_state(batch_size))

    def unpacked(self, state: Float[Tensor, "b p h"]) -> StackState:
        if not self.recurrent.has_cell:
            return StackState(state, None)
        hidden, cell = state.chunk(2, 1)
        return StackState(hidden, cell)


def packed(state: StackState) -> Float[Tensor, "b p h"]:
    """Hidden states and cells as one tensor, which a stream can keep."""
    return state.hidden if state.cell is None else torch.cat([state.hidden, state.cell], 1)
