"""Input-feeding recurrent decoder. Luong, Pham & Manning 2015, arXiv:1508.04025, sections 3.1 and 3.3.

s_i = f(s_{i-1}, y_{i-1}, c_{i-1})        the previous context enters the update; c_0 = 0
c_i = read(s_i)                           the query of the attention is the state *after* the step

In `ConditionalDecoder` the query is the state before the step, which does not know y_{i-1}. The context itself is fed
to the next step, where the paper feeds tanh(W [c_{i-1}; s_{i-1}]).
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.nets.attending_decoder import AttendingDecoder, CellState, Decoded


class FeedingState(NamedTuple):
    hidden: CellState
    context: Float[Tensor, "b c"]
    attention: Any


class InputFeedingDecoder(AttendingDecoder):
    """A recurrent cell whose input is the last symbol and the last context; the next context is read with its new
    state.

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
    ) -> FeedingState:
        first = self.first(hidden, cell)
        nothing = first.hidden.new_zeros(len(hidden), self.context_size)
        return FeedingState(first, nothing, self.mechanism.initial_state(prepared))

    def step(
        self, inputs: Float[Tensor, "b d"], prepared: Any, state: FeedingState
    ) -> tuple[Float[Tensor, "b c"], FeedingState]:
        """One step: the context and the new state.

        Each prepared sentence may have several adjacent rows: the hypotheses of a search, whose `prepared` is the
            `Constant` of the state.
        """
        own, last, memory = state
        own = self.update(inputs, last, own)
        context, _, memory = self.look(own.hidden, prepared, memory)
        return context, FeedingState(own, context, memory)

    def forward(
        self, inputs: Float[Tensor, "b t d"], prepared: Any, state: FeedingState
    ) -> tuple[Decoded, FeedingState]:
        """All steps on known inputs (teacher forcing)."""
        own, context, memory = state
        states, contexts, memories, looks = [], [], [], []
        for update in self.updates(inputs):
            own = update(self.fed(context), own)
            context, weights, memory = self.mechanism.read(own.hidden, prepared, memory)
            contexts.append(context)
            states.append(own.hidden)
            memories.append(memory)
            looks.append(weights)
        decoded = Decoded(torch.stack(states, 1), torch.stack(contexts, 1), tuple(memories), tuple(looks))
        return decoded, FeedingState(own, context, memory)
