"""The controller of an external memory: a net that sees the input and what was read a step before.

    h_t = tanh(W x_t + V r_t-1 + b)                        feed-forward
    h_t = LSTM(x_t, r_t-1; h_t-1, c_t-1)                   lstm (lstm.py, without peepholes)

W x of all time steps is one product outside the loop; V and the LSTM's recurrent weights are one product within it.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.products import TORCH, Products
from saccade.memory.lstm import LSTMState, Recurrent, lstm_step

Kind = Literal["lstm", "feed-forward"]


class Controller(nn.Module):
    """Feed-forward or LSTM, over inputs (b, d) and the flat reads of the previous step (b, r).

    Args:
        kind: "lstm" or "feed-forward".
        input_size: features of the input.
        reads_size: features of all reads together.
        hidden_size: features of the output.

    Raises:
        InvalidInput: another kind; inputs with the wrong number of features.
    """

    def __init__(self, kind: Kind, input_size: int, reads_size: int, hidden_size: int) -> None:
        super().__init__()
        check_choice("controller", kind, "lstm", "feed-forward")
        self.kind, self.input_size, self.hidden_size = kind, input_size, hidden_size
        gates, carried = (4, hidden_size) if kind == "lstm" else (1, 0)
        self.weight_input = nn.Parameter(torch.empty(gates * hidden_size, input_size))
        self.weight_reads = nn.Parameter(torch.empty(gates * hidden_size, reads_size))
        self.weight_hidden = nn.Parameter(torch.empty(gates * hidden_size, carried)) if carried else None
        self.bias = nn.Parameter(torch.empty(gates * hidden_size))
        self.products: Products = TORCH
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As in `LSTM`: orthogonal recurrent blocks, Xavier for the rest, and a forget gate that starts open."""
        for weight in (self.weight_input, self.weight_reads):
            for block in weight.split(self.hidden_size):
                nn.init.xavier_uniform_(block)
        nn.init.zeros_(self.bias)
        if self.weight_hidden is not None:
            for block in self.weight_hidden.split(self.hidden_size):
                nn.init.orthogonal_(block)
            with torch.no_grad():
                self.bias[self.hidden_size : 2 * self.hidden_size] = 1.0

    def start(self, batch_size: int) -> LSTMState | tuple[()]:
        """The state before the first step; a feed-forward controller has none."""
        if self.weight_hidden is None:
            return ()
        zeros = self.bias.new_zeros(batch_size, self.hidden_size)
        return LSTMState(zeros, zeros)

    def project(self, inputs: Float[Tensor, "*b d"]) -> Float[Tensor, "*b gates"]:
        """W x + b: the part of a step that does not depend on the previous one."""
        if inputs.shape[-1] != self.input_size:
            raise InvalidInput(f"inputs must have {self.input_size} features, not {inputs.shape[-1]}")
        return self.products.linear(inputs, self.weight_input, self.bias)

    def recurrent(self) -> Float[Tensor, "r gates"]:
        """The weights of [reads, hidden], transposed; prepared once before a loop."""
        if self.weight_hidden is None:
            return self.weight_reads.mT
        return torch.cat([self.weight_reads, self.weight_hidden], 1).mT.contiguous()

    def advance(
        self,
        projected: Float[Tensor, "b gates"],
        reads: Float[Tensor, "b r"],
        state: LSTMState | tuple[()],
        weight: Float[Tensor, "rh gates"],
    ) -> tuple[Float[Tensor, "b h"], LSTMState | tuple[()]]:
        """One step: the hidden features and the new state."""
        if isinstance(state, LSTMState):
            size = reads.shape[-1]
            sums = torch.addmm(projected, reads, weight[:size])
            state = lstm_step(sums, state, Recurrent(weight[size:], None, None))
            return state.hidden, state
        return torch.addmm(projected, reads, weight).tanh(), ()


def check_choice(name: str, value: str, *known: str) -> None:
    """Check that a choice exists.

    Raises:
        InvalidInput: naming those that do.
    """
    if value not in known:
        raise InvalidInput(f"{name} must be {' or '.join(f'{one!r}' for one in known)}, not {value!r}")
