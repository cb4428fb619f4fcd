"""A recurrent net over chords. Boulanger-Lewandowski, Bengio & Vincent 2012, arXiv:1206.6392, section 5.

    u_t = layers of LSTM(v_t-1, u_t-1),     v_0 = 0
    p(v_1..v_T) = prod_t p(v_t | u_t)       the output: independent notes, or a NADE (`nade.py`)

v_t the 88 notes of frame t. The paper's recurrent nets have tanh units; its RNN-NADE is trained in the same way.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.config import NAMED, Size, config
from saccade.core.tap import Tap
from saccade.nets.dropout import Dropout
from saccade.nets.recurrent_stack import RecurrentStack, StackState
from saccade.systems.music_rnn.nade import Independent, Nade


@config
class IndependentNotes:
    """The notes of a frame are independent of each other, given the frames before."""

    name: Literal["independent"] = "independent"


@config
class NadeNotes:
    """Each note of a frame also depends on those below it (Larochelle & Murray 2011)."""

    name: Literal["nade"] = "nade"
    hidden_size: Size = 128
    """Units of the estimator."""


Rate = Annotated[float, Field(ge=0, lt=1)]


@config
class MusicRNNConfig:
    """Sizes of the net."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """The recurrent cell."""
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    """Recurrent layers."""
    hidden_size: Size = 200
    """Units of each layer."""
    output: Annotated[IndependentNotes | NadeNotes, Field(discriminator="name"), NAMED] = IndependentNotes()
    """The distribution of the notes of a frame, given the state."""
    dropout: Rate = 0.5
    """Dropout rate of the outputs of each layer."""
    input_dropout: Rate = 0.2
    """Dropout rate of the notes that are read."""


class MusicRNN(nn.Module):
    """The distribution of each next frame of notes.

    Args:
        config: sizes.
        frequencies: of each note of a frame, from 0 to 1; the first biases of the output stand for them.
    """

    def __init__(self, config: MusicRNNConfig, frequencies: Float[Tensor, " v"]) -> None:
        super().__init__()
        self.notes = notes = len(frequencies)
        self.recurrent = RecurrentStack(
            notes, config.hidden_size, cell=config.cell, layers=config.layers, dropout=config.dropout
        )
        self.dropout, self.input_dropout = Dropout(config.dropout), Dropout(config.input_dropout)
        self.output: Independent | Nade
        match config.output:
            case IndependentNotes():
                self.output = Independent(config.hidden_size, notes, frequencies)
            case NadeNotes(hidden_size=size):
                self.output = Nade(config.hidden_size, notes, size, frequencies)
        self.state = Tap("b t h")

    def forward(self, frames: Float[Tensor, "b t v"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t h"]:
        """The state before each frame, from which its distribution comes.

        Args:
            frames: 1 where a note sounds.
            mask: False at padding.
        """
        before = F.pad(frames[:, :-1], (0, 0, 1, 0)).to(self.dtype)
        states: Tensor = self.state(self.recurrent(self.input_dropout(before), mask)[0])
        return self.dropout(states)  # type: ignore[no-any-return]

    def log_prob(self, frames: Float[Tensor, "b t v"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t"]:
        """log p of each frame, given those before it; 0 at padding."""
        states = self.forward(frames, mask)[mask]
        found = self.output.log_prob(states, frames[mask].to(states.dtype))
        return found.new_zeros(mask.shape).masked_scatter(mask, found)

    def step(self, frame: Float[Tensor, "b v"], state: StackState) -> tuple[Float[Tensor, "b h"], StackState]:
        """Read one frame: the state from which the next one comes, and that of all layers."""
        return self.recurrent.step(frame.to(self.dtype), state)

    def initial_state(self, batch_size: int) -> StackState:
        return self.recurrent.initial_state(batch_size)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype
