"""Long short-term memory with peepholes. Graves 2013, arXiv:1308.0850, section 2, equations 7 to 11.

    i  = sigmoid(W_xi x + W_hi h + w_ci * c + b_i)     input
    f  = sigmoid(W_xf x + W_hf h + w_cf * c + b_f)     forget
    c' = f * c + i * tanh(W_xc x + W_hc h + b_c)       cell
    o  = sigmoid(W_xo x + W_ho h + w_co * c' + b_o)    output: it sees the cell after the step
    h' = o * tanh(c')

x input, h hidden state, c cell; each peephole weight w (Gers et al. 2002) belongs to one cell. Without peepholes this
is torch.nn.LSTM. W x of all time steps is one product outside the loop.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.products import TORCH, Products, add_product
from saccade.memory.interchange import given, taken


class LSTMState(NamedTuple):
    hidden: Float[Tensor, "b h"]
    cell: Float[Tensor, "b h"]


class Recurrent(NamedTuple):
    """The recurrent weights: W_h of the gates i, f, c, o, transposed; and the peepholes, if any."""

    weight: Float[Tensor, "h 4*h"]
    to_gates: Float[Tensor, " 2*h"] | None
    """w_ci and w_cf."""
    to_output: Float[Tensor, " h"] | None
    """w_co."""
    add: Callable[[Tensor, Tensor, Tensor], Tensor] = add_product
    """The product: sums + hidden weight."""


def lstm_step(projected: Float[Tensor, "b gates"], state: LSTMState, recurrent: Recurrent) -> LSTMState:
    """One step from a projected input W x + b, in the order i, f, c, o."""
    hidden, cell = state
    size = hidden.shape[-1]
    sums = recurrent.add(projected, hidden, recurrent.weight)
    # under autocast the products are bfloat16, the state is not
    gates, candidate, output = sums.to(cell.dtype).split([2 * size, size, size], -1)
    if recurrent.to_gates is not None:
        gates = torch.addcmul(gates, cell.repeat(1, 2), recurrent.to_gates)
    write, keep = gates.sigmoid().chunk(2, -1)
    cell = torch.addcmul(keep * cell, write, candidate.tanh())
    if recurrent.to_output is not None:
        output = torch.addcmul(output, cell, recurrent.to_output)
    return LSTMState(output.sigmoid() * cell.tanh(), cell)


class LSTM(nn.Module):
    """Long short-term memory (Graves 2013) over (b, t, d).

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state, of the cell and of the output.
        peepholes: whether the gates see the cell.

    Raises:
        InvalidInput: inputs with the wrong number of features.
    """

    def __init__(self, input_size: int, hidden_size: int, *, peepholes: bool = True) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_input = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hidden = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        self.peepholes = nn.Parameter(torch.empty(3 * hidden_size)) if peepholes else None
        self.products: Products = TORCH
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for block in self.weight_hidden.chunk(4):
            nn.init.orthogonal_(block)
        for block in self.weight_input.chunk(4):
            nn.init.xavier_uniform_(block)
        nn.init.zeros_(self.bias)
        with torch.no_grad():
            # a new cell keeps its content (Gers et al. 2000); in the paper all weights start near zero
            self.bias[self.hidden_size : 2 * self.hidden_size] = 1.0
        if self.peepholes is not None:
            nn.init.zeros_(self.peepholes)

    @classmethod
    def from_torch(cls, theirs: nn.LSTM) -> "LSTM":
        """The same network from a `torch.nn.LSTM`, which has no peepholes; its two biases are added.

        Raises:
            InvalidInput: several layers, two directions, or a projected hidden state.
        """
        weights = taken(theirs)
        ours = cls(theirs.input_size, theirs.hidden_size, peepholes=False)
        return weights.put(ours, weights.bias_input + weights.bias_hidden)

    def to_torch(self) -> nn.LSTM:
        """The same network as a `torch.nn.LSTM`, batch first; its second bias is zero.

        Raises:
            InvalidInput: it has peepholes, which torch has not.
        """
        if self.peepholes is not None:
            raise InvalidInput("torch.nn.LSTM has no peepholes: only an LSTM with peepholes=False can be one")
        theirs = nn.LSTM(self.input_size, self.hidden_size, batch_first=True)
        return given(theirs, self.weight_input, self.weight_hidden, self.bias, torch.zeros_like(self.bias))

    def initial_state(self, batch_size: int) -> LSTMState:
        zeros = self.bias.new_zeros(batch_size, self.hidden_size)
        return LSTMState(zeros, zeros)

    def project(self, inputs: Float[Tensor, "*b d"]) -> Float[Tensor, "*b gates"]:
        """W x + b: the part of a step that does not depend on the previous one."""
        if inputs.shape[-1] != self.input_size:
            raise InvalidInput(f"inputs must have {self.input_size} features, not {inputs.shape[-1]}")
        return self.products.linear(inputs, self.weight_input, self.bias)

    def recurrent(self) -> Recurrent:
        """The weights of `lstm_step`, prepared once before a loop."""
        size, weight = self.hidden_size, self.weight_hidden.mT.contiguous()
        if self.peepholes is None:
            return Recurrent(weight, None, None, self.products.add)
        to_gates, to_output = self.peepholes.split([2 * size, size])
        return Recurrent(weight, to_gates, to_output, self.products.add)

    def step(self, inputs: Float[Tensor, "b d"], state: LSTMState) -> tuple[Float[Tensor, "b h"], LSTMState]:
        """One time step; the output is the new hidden state."""
        state = lstm_step(self.project(inputs), state, self.recurrent())
        return state.hidden, state

    def forward(
        self, inputs: Float[Tensor, "b t d"], state: LSTMState | None = None
    ) -> tuple[Float[Tensor, "b t h"], LSTMState]:
        """All time steps; the result equals T single steps."""
        state = self.initial_state(inputs.shape[0]) if state is None else state
        recurrent, outputs = self.recurrent(), []
        for projected in self.project(inputs).unbind(1):
            state = lstm_step(projected, state, recurrent)
            outputs.append(state.hidden)
        if not outputs:
            return state.hidden[:, None][:, :0], state
        return torch.stack(outputs, 1), state
