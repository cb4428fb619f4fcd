"""Conditional recurrent decoder. Bahdanau et al. 2015, arXiv:1409.0473, section 3.1 and A.2.2.

c_i = read(s_{i-1})                       any attention of the contract scores with the state *before* the step
s_i = f(s_{i-1}, y_{i-1}, c_i)            and the context enters the update
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.reading import Attention, Reading
from saccade.core.state import Constant
from saccade.memory.gru import GRU, GRUState, Projected, gru_step, split


class DecoderState(NamedTuple):
    hidden: GRUState
    attention: Any


class Decoded(NamedTuple):
    """The states s_i and the contexts c_i of t steps, and what the attention remembers after each."""

    states: Float[Tensor, "b t h"]
    contexts: Float[Tensor, "b t c"]
    memories: tuple[Any, ...]


def look(mechanism: Attention, hidden: Float[Tensor, "n h"], prepared: Constant, memory: Any) -> Reading:
    """A look of each of several states a sentence, side by side; weights have the shape that the mechanism gives."""
    if memory != ():
        return mechanism.read(hidden, prepared.spread(len(hidden)), memory)
    # looks that leave no trace: all of a sentence's at once
    reading = mechanism.read(hidden.unflatten(0, (prepared.sentences, -1)), prepared.value)
    return reading._replace(context=reading.context.flatten(0, 1))


class ConditionalDecoder(nn.Module):
    """A gated recurrent unit whose input is the last symbol and a context that its last state chose.

    Args:
        attention: any mechanism of the contract of `saccade.attention`.
        input_size: features of an embedded symbol.
        context_size: features of a context.
        hidden_size: features of the state.
    """

    def __init__(self, attention: nn.Module, input_size: int, context_size: int, hidden_size: int) -> None:
        super().__init__()
        self.attention = attention
        self.cell = GRU(input_size + context_size, hidden_size)
        self.input_size, self.context_size = input_size, context_size

    @property
    def mechanism(self) -> Attention:
        mechanism: Any = self.attention
        return mechanism  # type: ignore[no-any-return]

    def initial_state(self, hidden: Float[Tensor, "b h"], prepared: Any) -> DecoderState:
        # under autocast what made the state is bfloat16; the state itself is not
        hidden = hidden.to(self.cell.bias.dtype)
        return DecoderState(GRUState(hidden), self.mechanism.initial_state(prepared))

    def step(
        self, inputs: Float[Tensor, "b d"], prepared: Any, state: DecoderState
    ) -> tuple[Float[Tensor, "b c"], DecoderState]:
        """One step: the context that was read, and the state after it.

        There may be several rows for each sentence that was prepared, side by side: the hypotheses of a search. It
        takes what was prepared as the `Constant` of its state.
        """
        (hidden,), memory = state
        shared = prepared if isinstance(prepared, Constant) else Constant(prepared)
        reading = look(self.mechanism, hidden, shared, memory)
        projected = F.linear(torch.cat([inputs, reading.context], -1), self.cell.weight_input, self.cell.bias)
        hidden = gru_step(split(projected), hidden, self.cell.recurrent())
        return reading.context, DecoderState(GRUState(hidden), reading.state)

    def forward(
        self, inputs: Float[Tensor, "b t d"], prepared: Any, state: DecoderState
    ) -> tuple[Decoded, DecoderState]:
        """All steps on known inputs (teacher forcing)."""
        (hidden,), memory = state
        # the symbols' share of W x is known before the loop; the contexts' share is not
        symbols, context_weight = self.cell.weight_input.split([self.input_size, self.context_size], 1)
        projected = split(F.linear(inputs, symbols, self.cell.bias))
        recurrent, states, contexts, memories = self.cell.recurrent(), [], [], []
        for gates, candidate in zip(projected.gates.unbind(1), projected.candidate.unbind(1), strict=True):
            reading = self.mechanism.read(hidden, prepared, memory)
            more_gates, more_candidate = F.linear(reading.context, context_weight).split(
                [gates.shape[-1], candidate.shape[-1]], -1
            )
            hidden = gru_step(Projected(gates + more_gates, candidate + more_candidate), hidden, recurrent)
            memory = reading.state
            contexts.append(reading.context)
            states.append(hidden)
            memories.append(memory)
        decoded = Decoded(torch.stack(states, 1), torch.stack(contexts, 1), tuple(memories))
        return decoded, DecoderState(GRUState(hidden), memory)
