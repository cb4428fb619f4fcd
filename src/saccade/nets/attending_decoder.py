"""The base of recurrent decoders with attention: a gated recurrent unit, an attention, and their connection."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.reading import Attention, Reading
from saccade.core.state import Constant
from saccade.memory.gru import GRU, Projected, gru_step, split

Update = Callable[[Tensor, Tensor], Tensor]


class Decoded(NamedTuple):
    """The states s_i and the contexts c_i of t steps, and the state of the attention after each."""

    states: Float[Tensor, "b t h"]
    contexts: Float[Tensor, "b t c"]
    memories: tuple[Any, ...]


class AttendingDecoder(nn.Module):
    """A gated recurrent unit whose inputs are the last symbol and a context; the subclass decides which state is the
    query.

    Args:
        attention: any mechanism of `saccade.attention`.
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

    def look(self, hidden: Float[Tensor, "n h"], prepared: Any, memory: Any) -> Reading:
        """Read with several states per sentence, in adjacent rows: the hypotheses of a search.

        `prepared` may be the `Constant` of a state. The weights have the mechanism's own shape.
        """
        shared = prepared if isinstance(prepared, Constant) else Constant(prepared)
        if memory != ():
            return self.mechanism.read(hidden, shared.spread(len(hidden)), memory)
        # without a state, all queries of a sentence are read at once
        reading = self.mechanism.read(hidden.unflatten(0, (shared.sentences, -1)), shared.value)
        return reading._replace(context=reading.context.flatten(0, 1))

    def update(
        self, inputs: Float[Tensor, "b d"], context: Float[Tensor, "b c"], hidden: Float[Tensor, "b h"]
    ) -> Float[Tensor, "b h"]:
        """f(s, y, c): the state after a step."""
        projected = self.cell.products.linear(torch.cat([inputs, context], -1), self.cell.weight_input, self.cell.bias)
        return gru_step(split(projected), hidden, self.cell.recurrent())

    def updates(self, inputs: Float[Tensor, "b t d"]) -> Iterator[Update]:
        """For each step a function from context and state to the next state.

        The symbols' share of W x is known before the loop; the contexts' share is not.
        """
        symbols, context_weight = self.cell.weight_input.split([self.input_size, self.context_size], 1)
        gates, candidates = split(self.cell.products.linear(inputs, symbols, self.cell.bias))
        context_weight = context_weight.contiguous()  # a slice multiplies more slowly
        recurrent, sizes = self.cell.recurrent(), [gates.shape[-1], candidates.shape[-1]]

        def update(gate: Tensor, candidate: Tensor, context: Tensor, hidden: Tensor) -> Tensor:
            more_gates, more_candidate = self.cell.products.linear(context, context_weight).split(sizes, -1)
            return gru_step(Projected(gate + more_gates, candidate + more_candidate), hidden, recurrent)

        for gate, candidate in zip(gates.unbind(1), candidates.unbind(1), strict=True):
            yield partial(update, gate, candidate)
