"""Layers of recurrent cells over a sequence, forward, backward or in both directions, with a state to go on from.

Several layers: Graves 2013, arXiv:1308.0850, section 2. Two directions: Schuster & Paliwal 1997. Dropped weights:
Merity, Keskar & Socher 2018, arXiv:1708.02182, section 2. The first weights are those of the cells of `saccade.memory`;
torch's kernels run them. A backward pass begins at the last position of each sequence, not at its padding. Long texts
are read window by window, each from the state that the one before left (truncated backpropagation through time:
Williams & Peng 1990), as if in one pass.
"""

from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from saccade.core.errors import InvalidInput
from saccade.core.masks import check_key_mask, length_mask
from saccade.memory import GRU, LSTM, RNN
from saccade.nets.dropout import Dropout

Cell = Literal["lstm", "gru", "rnn"]
Directions = Literal["forward", "backward", "both"]
RECURRENT = "weight_hh_l0"  # torch's name of the weights from a state to the next


class StackState(NamedTuple):
    """The state of every layer, from the first to the last, and of both directions of a layer, forward first."""

    hidden: Float[Tensor, "b l h"]
    cell: Float[Tensor, "b l h"] | None
    """None if the cells have none, or if there is a backward pass, from which nothing goes on."""


class RecurrentStack(nn.Module):
    """Recurrent layers over (b, t, d).

    Args:
        input_size: features of the input.
        hidden_size: features of the state of each layer and direction.
        cell: "lstm" (without peepholes), "gru" (its reset after the product) or "rnn" (tanh).
        layers: number of layers; each reads the outputs of the one before.
        directions: "forward", "backward", or "both", whose outputs are concatenated, forward first.
        dropout: rate of the outputs of a layer, where the next one reads them.
        weight_dropout: rate of the weights from a state to the next, drawn once a forward pass for all its steps.

    Raises:
        InvalidInput: another cell or direction; no layers; a mask that is not bool of shape (b, t); inputs of another
            size; a state for a backward pass, which cannot be carried.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        cell: Cell = "lstm",
        layers: int = 1,
        directions: Directions = "forward",
        dropout: float = 0.0,
        weight_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value, known in (("cell", cell, ("lstm", "gru", "rnn")),
                                   ("directions", directions, ("forward", "backward", "both"))):  # fmt: skip
            if value not in known:
                raise InvalidInput(f"{name} must be one of {', '.join(known)}, not {value!r}")
        if layers < 1:
            raise InvalidInput(f"layers must be at least 1, not {layers}")
        self.input_size, self.hidden_size, self.directions = input_size, hidden_size, directions
        self.output_size = hidden_size * (1 + (directions == "both"))
        sizes, ways = [input_size, *[self.output_size] * (layers - 1)], 1 + (directions == "both")
        self.layers = nn.ModuleList(
            nn.ModuleList(_first(size, hidden_size, cell) for _ in range(ways)) for size in sizes
        )
        self.dropout, self.weight_dropout = Dropout(dropout), Dropout(weight_dropout)
        self.has_cell = cell == "lstm" and directions == "forward"

    def initial_state(self, batch_size: int) -> StackState:
        weight = next(self.parameters())
        zeros = weight.new_zeros(batch_size, len(self.layers) * self.output_size // self.hidden_size, self.hidden_size)
        return StackState(zeros, zeros if self.has_cell else None)

    def step(self, inputs: Float[Tensor, "b d"], state: StackState) -> tuple[Float[Tensor, "b h"], StackState]:
        """One time step of a forward stack."""
        outputs, state = self.forward(inputs[:, None], state=state)
        return outputs[:, 0], state

    def forward(
        self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None, state: StackState | None = None
    ) -> tuple[Float[Tensor, "b t gh"], StackState]:
        """The outputs of the last layer, zero at padding, and each layer's state after its last input.

        Args:
            inputs: the sequences.
            mask: True at the first positions of each sequence; None if all are as long.
            state: the state to begin from, by default zeros.
        """
        if inputs.shape[-1] != self.input_size:
            raise InvalidInput(f"inputs must have {self.input_size} features, not {inputs.shape[-1]}")
        if state is not None and self.directions != "forward":
            raise InvalidInput("a state goes on forward only: a backward pass begins at the end of what is read")
        check_key_mask(mask, inputs)
        before = self.initial_state(len(inputs)) if state is None else state
        if not inputs.shape[1]:
            return inputs.new_zeros(len(inputs), 0, self.output_size), before
        lengths = None if mask is None or bool(mask.all()) else mask.sum(1)
        hidden, states = inputs, list[StackState]()
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, nn.ModuleList)
            read, found = self.dropout(hidden) if number else hidden, []
            for place, net in enumerate(layer):
                at = len(states)
                own = StackState(before.hidden[:, at], None if before.cell is None else before.cell[:, at])
                backward = self.directions == "backward" or place == 1
                weights = {}
                if self.training and self.weight_dropout.p:
                    weights = {RECURRENT: self.weight_dropout(net.get_parameter(RECURRENT))}
                outputs, after = _run(net, weights, reverse(read, lengths) if backward else read, lengths, own)
                found.append(reverse(outputs, lengths) if backward else outputs)
                states.append(after)
            hidden = torch.cat(found, -1)
        cells = [each.cell for each in states if each.cell is not None]
        return hidden, StackState(
            torch.stack([each.hidden for each in states], 1), torch.stack(cells, 1) if self.has_cell else None
        )

    def final(self, state: StackState) -> Float[Tensor, "b gh"]:
        """The last layer's hidden state after its last input, of both directions if there are two."""
        return state.hidden[:, -(self.output_size // self.hidden_size) :].flatten(1)


def _first(input_size: int, hidden_size: int, cell: Cell) -> nn.RNNBase:
    """A cell of ours, with its first weights, as one of torch."""
    match cell:
        case "lstm":
            return LSTM(input_size, hidden_size, peepholes=False).to_torch()
        case "gru":
            return GRU(input_size, hidden_size, reset="after").to_torch()
        case "rnn":
            return RNN(input_size, hidden_size).to_torch()


def _run(
    net: nn.Module,
    weights: dict[str, Tensor],
    inputs: Float[Tensor, "b t d"],
    lengths: Int[Tensor, " b"] | None,
    before: StackState,
) -> tuple[Float[Tensor, "b t h"], StackState]:
    """One cell of torch over sequences of these lengths, from a state (b, h); `weights` stand for its own."""

    def read(*given: Any) -> Any:
        return functional_call(net, weights, given) if weights else net(*given)

    hidden, cell = before
    if isinstance(net, nn.LSTM) and cell is not None:
        given: Any = hidden[None].to(inputs.dtype), cell[None].to(inputs.dtype)
    elif isinstance(net, nn.LSTM):
        given = None
    else:
        given = hidden[None].to(inputs.dtype)
    if lengths is None:
        outputs, after = read(inputs, given)
        return outputs, StackState(after[0][0], after[1][0]) if isinstance(net, nn.LSTM) else StackState(after[0], None)
    padding, empty = ~length_mask(lengths, inputs.shape[1])[:, :, None], (lengths == 0)[:, None]
    if cell is None:
        # faster than packing; zeros, since a number that is not finite would reach the weights' gradients
        outputs, _ = read(inputs.masked_fill(padding, 0.0), given)
        last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, outputs.shape[-1])
        return outputs.masked_fill(padding, 0.0), StackState(
            torch.where(empty, hidden.to(outputs.dtype), outputs.gather(1, last)[:, 0]), None
        )
    # only packed sequences tell their last cells; torch packs no empty one, so one position is read and dropped
    packed = pack_padded_sequence(inputs, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    found, (after, last_cell) = read(packed, given)
    outputs, _ = pad_packed_sequence(found, batch_first=True, total_length=inputs.shape[1])
    return outputs.masked_fill(padding, 0.0), StackState(
        torch.where(empty, hidden.to(after.dtype), after[0]), torch.where(empty, cell.to(after.dtype), last_cell[0])
    )


def reverse(inputs: Float[Tensor, "b t d"], lengths: Int[Tensor, " b"] | None) -> Float[Tensor, "b t d"]:
    """Each sequence from its last position to its first; its padding stays behind it."""
    if lengths is None:
        return inputs.flip(1)
    places = torch.arange(inputs.shape[1], device=inputs.device)
    source = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
    return inputs.gather(1, source[:, :, None].expand_as(inputs))
