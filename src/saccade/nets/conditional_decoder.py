"""Conditional recurrent decoder. Bahdanau et al. 2015, arXiv:1409.0473, section 3.1 and A.2.2.

c_i = read(s_{i-1})                       the query of the attention is the state *before* the step
s_i = f(s_{i-1}, y_{i-1}, c_i)            and the context enters the update
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.nets.attending_decoder import AttendingDecoder, CellState, Decoded


class DecoderState(NamedTuple):
    hidden: CellState
    attention: Any


class ConditionalDecoder(AttendingDecoder):
    """A recurrent cell whose input is the last symbol and a context read with the previous state.

    Args:
        attention: any mechanism of `saccade.attention`.
        input_size: features of an embedded symbol.
        context_size: features of a context.
        hidden_size: features of the state.
        cell: a gated recurrent unit, or an LSTM without peepholes.
        context_dropout: share of the steps of training at which the cell gets no context.
    """

    def initial_state(
        self, hidden: Float[Tensor, "b h"], prepared: Any, cell: Float[Tensor, "b h"] | None = None
    ) -> DecoderState:
        return DecoderState(self.first(hidden, cell), self.mechanism.initial_state(prepared))

    def step(
        self, inputs: Float[Tensor, "b d"], prepared: Any, state: DecoderState
    ) -> tuple[Float[Tensor, "b c"], DecoderState]:
        """One step: the context and the new state.

        Each prepared sentence may have several adjacent rows: the hypotheses of a search, whose `prepared` is the
            `Constant` of the state.
        """
        own, memory = state
        context, _, memory = self.look(own.hidden, prepared, memory)
        return context, DecoderState(self.update(inputs, context, own), memory)

    def forward(
        self, inputs: Float[Tensor, "b t d"], prepared: Any, state: DecoderState
    ) -> tuple[Decoded, DecoderState]:
        """All steps on known inputs (teacher forcing)."""
        own, memory = state
        states, contexts, memories, looks = [], [], [], []
        for update in self.updates(inputs):
            context, weights, memory = self.mechanism.read(own.hidden, prepared, memory)
            own = update(self.fed(context), own)
            contexts.append(context)
            states.append(own.hidden)
            memories.append(memory)
            looks.append(weights)
        decoded = Decoded(torch.stack(states, 1), torch.stack(contexts, 1), tuple(memories), tuple(looks))
        return decoded, DecoderState(own, memory)
