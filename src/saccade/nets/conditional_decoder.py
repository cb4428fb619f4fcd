"""Conditional recurrent decoder. Bahdanau et al. 2015, arXiv:1409.0473, section 3.1 and A.2.2.

c_i = read(s_{i-1})                       the query of the attention is the state *before* the step
s_i = f(s_{i-1}, y_{i-1}, c_i)            and the context enters the update
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.memory.gru import GRUState
from saccade.nets.attending_decoder import AttendingDecoder, Decoded


class DecoderState(NamedTuple):
    hidden: GRUState
    attention: Any


class ConditionalDecoder(AttendingDecoder):
    """A gated recurrent unit whose input is the last symbol and a context read with the previous state.

    Args:
        attention: any mechanism of `saccade.attention`.
        input_size: features of an embedded symbol.
        context_size: features of a context.
        hidden_size: features of the state.
    """

    def initial_state(self, hidden: Float[Tensor, "b h"], prepared: Any) -> DecoderState:
        # under autocast the products are bfloat16; the state is not
        hidden = hidden.to(self.cell.bias.dtype)
        return DecoderState(GRUState(hidden), self.mechanism.initial_state(prepared))

    def step(
        self, inputs: Float[Tensor, "b d"], prepared: Any, state: DecoderState
    ) -> tuple[Float[Tensor, "b c"], DecoderState]:
        """One step: the context and the new state.

        Each prepared sentence may have several adjacent rows: the hypotheses of a search, whose `prepared` is the
            `Constant` of the state.
        """
        (hidden,), memory = state
        context, _, memory = self.look(hidden, prepared, memory)
        return context, DecoderState(GRUState(self.update(inputs, context, hidden)), memory)

    def forward(
        self, inputs: Float[Tensor, "b t d"], prepared: Any, state: DecoderState
    ) -> tuple[Decoded, DecoderState]:
        """All steps on known inputs (teacher forcing)."""
        (hidden,), memory = state
        states, contexts, memories = [], [], []
        for update in self.updates(inputs):
            context, _, memory = self.mechanism.read(hidden, prepared, memory)
            hidden = update(context, hidden)
            contexts.append(context)
            states.append(hidden)
            memories.append(memory)
        decoded = Decoded(torch.stack(states, 1), torch.stack(contexts, 1), tuple(memories))
        return decoded, DecoderState(GRUState(hidden), memory)
