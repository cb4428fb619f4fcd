"""The base of recurrent decoders with attention: a recurrent cell, an attention, and their connection."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.reading import Attention, Reading
from saccade.core.state import Constant
from saccade.memory.gru import GRU, GRUState, Projected, gru_step, split
from saccade.memory.lstm import LSTM, LSTMState, lstm_step

CellState = GRUState | LSTMState
Update = Callable[[Tensor, Any], Any]


class Decoded(NamedTuple):
    """The states s_i and the contexts c_i of t steps; and after each, the state of the attention and its weights."""

    states: Float[Tensor, "b t h"]
    contexts: Float[Tensor, "b t c"]
    memories: tuple[Any, ...]
    weights: tuple[Tensor, ...]


class AttendingDecoder(nn.Module):
    """A recurrent cell whose inputs are the last symbol and a context; the subclass decides which state is the query.

    Args:
        attention: any mechanism of `saccade.attention`.
        input_size: features of an embedded symbol.
        context_size: features of a context.
        hidden_size: features of the state.
        cell: a gated recurrent unit, or an LSTM without peepholes, whose hidden state is the query.
        context_dropout: share of the steps of training at which the cell gets no context. What it needs then it must
            read again, as it cannot have remembered it.
    """

    def __init__(
        self,
        attention: nn.Module,
        input_size: int,
        context_size: int,
        hidden_size: int,
        *,
        cell: Literal["gru", "lstm"] = "gru",
        context_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention, self.context_dropout = attention, context_dropout
        sizes = input_size + context_size, hidden_size
        self.cell: GRU | LSTM = GRU(*sizes) if cell == "gru" else LSTM(*sizes, peepholes=False)
        self.input_size, self.context_size = input_size, context_size

    @property
    def mechanism(self) -> Attention:
        mechanism: Any = self.attention
        return mechanism  # type: ignore[no-any-return]

    def first(self, hidden: Float[Tensor, "b h"], cell: Float[Tensor, "b h"] | None = None) -> CellState:
        """The state before the first step; the cell of an LSTM is zero unless it is given."""
        # under autocast the products are bfloat16; the state is not
        hidden = hidden.to(self.cell.bias.dtype)
        if isinstance(self.cell, GRU):
            assert cell is None, "a gated recurrent unit has no cell"
            return GRUState(hidden)
        return LSTMState(hidden, torch.zeros_like(hidden) if cell is None else cell.to(hidden.dtype))

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

    def fed(self, context: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """What the cell gets of a context: in training all of it or, at a share of the steps, nothing."""
        if not self.training or not self.context_dropout:
            return context
        dropped = torch.rand(len(context), 1, device=context.device) < self.context_dropout
        return context.masked_fill(dropped, 0.0)

    def update(self, inputs: Float[Tensor, "b d"], context: Float[Tensor, "b c"], state: CellState) -> CellState:
        """f(s, y, c): the state after a step."""
        projected = self.cell.products.linear(torch.cat([inputs, context], -1), self.cell.weight_input, self.cell.bias)
        if isinstance(self.cell, LSTM):
            assert isinstance(state, LSTMState)
            return lstm_step(projected, state, self.cell.recurrent())
        return GRUState(gru_step(split(projected), state.hidden, self.cell.recurrent()))

    def updates(self, inputs: Float[Tensor, "b t d"]) -> Iterator[Update]:
        """For each step a function from context and state to the next state.

        The symbols' share of W x is known before the loop; the contexts' share is not.
        """
        symbols, of_context = self.cell.weight_input.split([self.input_size, self.context_size], 1)
        known = self.cell.products.linear(inputs, symbols, self.cell.bias)
        of_context = of_context.contiguous()  # a slice multiplies more slowly
        steps = self._lstm_updates if isinstance(self.cell, LSTM) else self._gru_updates
        return steps(known, of_context)

    def _gru_updates(self, known: Tensor, of_context: Tensor) -> Iterator[Update]:
        assert isinstance(self.cell, GRU)
        linear, recurrent = self.cell.products.linear, self.cell.recurrent()
        gates, candidates = split(known)
        sizes = [gates.shape[-1], candidates.shape[-1]]

        def update(gate: Tensor, candidate: Tensor, context: Tensor, state: GRUState) -> GRUState:
            more_gates, more_candidate = linear(context, of_context).split(sizes, -1)
            return GRUState(gru_step(Projected(gate + more_gates, candidate + more_candidate), state.hidden, recurrent))

        for gate, candidate in zip(gates.unbind(1), candidates.unbind(1), strict=True):
            yield partial(update, gate, candidate)

    def _lstm_updates(self, known: Tensor, of_context: Tensor) -> Iterator[Update]:
        assert isinstance(self.cell, LSTM)
        linear, recurrent = self.cell.products.linear, self.cell.recurrent()

        def update(symbol: Tensor, context: Tensor, state: LSTMState) -> LSTMState:
            return lstm_step(symbol + linear(context, of_context), state, recurrent)

        for symbol in known.unbind(1):
            yield partial(update, symbol)
