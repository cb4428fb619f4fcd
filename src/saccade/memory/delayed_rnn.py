"""Recurrent network with connections of several delays. El Hihi & Bengio 1996, Advances in Neural Information
Processing Systems 8; Lin, Horne, Tino & Giles 1996, doi:10.1109/72.548162.

    h_t = phi(W x_t + sum_d U_d h_t-d + b)             d over the delays, phi tanh, relu or the identity

A connection of delay d carries a gradient d steps back through one nonlinearity, so the shortest path over T steps has
about T / max d of them instead of T. With the single delay 1 this is the RNN of rnn.py.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.products import TORCH, Products
from saccade.memory.rnn import Nonlinearity, nonlinear


class DelayedRNNState(NamedTuple):
    past: Float[Tensor, "b p h"]
    """The hidden states of the last steps, the last one first."""


class DelayedRNN(nn.Module):
    """Recurrent network with connections of several delays over (b, t, d).

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state and of the output.
        delays: the steps that each connection reaches back, in ascending order.
        nonlinearity: "tanh", "relu" or "identity".

    Raises:
        InvalidInput: delays that do not ascend from at least 1; inputs with the wrong number of features.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        delays: Sequence[int] = (1, 2, 4, 8),
        nonlinearity: Nonlinearity = "tanh",
    ) -> None:
        super().__init__()
        nonlinear(nonlinearity)
        check_ascending("delays", delays)
        self.input_size, self.hidden_size, self.nonlinearity = input_size, hidden_size, nonlinearity
        self.delays = tuple(delays)
        self.weight_input = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_past = nn.Parameter(torch.empty(hidden_size, len(self.delays) * hidden_size))
        self.bias = nn.Parameter(torch.empty(hidden_size))
        self.products: Products = TORCH
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight_input)
        nn.init.zeros_(self.bias)
        with torch.no_grad():
            for block in self.weight_past.chunk(len(self.delays), 1):
                # all delays together carry as much as one orthogonal connection
                nn.init.orthogonal_(block).div_(len(self.delays) ** 0.5)

    def initial_state(self, batch_size: int) -> DelayedRNNState:
        return DelayedRNNState(self.bias.new_zeros(batch_size, self.delays[-1], self.hidden_size))

    def project(self, inputs: Float[Tensor, "*b d"]) -> Float[Tensor, "*b h"]:
        """W x + b: the part of a step that does not depend on previous ones."""
        if inputs.shape[-1] != self.input_size:
            raise InvalidInput(f"inputs must have {self.input_size} features, not {inputs.shape[-1]}")
        return self.products.linear(inputs, self.weight_input, self.bias)

    def step(
        self, inputs: Float[Tensor, "b d"], state: DelayedRNNState
    ) -> tuple[Float[Tensor, "b h"], DelayedRNNState]:
        """One time step; the output is the new hidden state."""
        outputs, state = self.forward(inputs[:, None], state)
        return outputs[:, 0], state

    def forward(
        self, inputs: Float[Tensor, "b t d"], state: DelayedRNNState | None = None
    ) -> tuple[Float[Tensor, "b t h"], DelayedRNNState]:
        """All time steps; the result equals T single steps."""
        state = self.initial_state(inputs.shape[0]) if state is None else state
        phi, weight, longest = nonlinear(self.nonlinearity), self.weight_past.mT, self.delays[-1]
        hidden = list(state.past.flip(1).unbind(1))  # the oldest first
        for projected in self.project(inputs).unbind(1):
            past = torch.cat([hidden[-delay] for delay in self.delays], 1)
            # under autocast the products are bfloat16, the state is not
            hidden.append(phi(self.products.add(projected, past, weight).to(past.dtype)))
        state = DelayedRNNState(torch.stack(hidden[-1 : -longest - 1 : -1], 1))
        return torch.stack(hidden, 1)[:, longest:], state


def check_ascending(name: str, numbers: Sequence[int]) -> None:
    """Check that numbers ascend, from at least 1.

    Raises:
        InvalidInput: they do not, or there are none.
    """
    given = list(numbers)
    if not given or given[0] < 1 or any(a >= b for a, b in itertools.pairwise(given)):
        raise InvalidInput(f"{name} must ascend from at least 1, such as (1, 2, 4), not {tuple(given)}")
