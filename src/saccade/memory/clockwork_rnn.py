"""Clockwork RNN. Koutnik, Greff, Gomez & Schmidhuber 2014, arXiv:1402.3511, equations 1 to 4.

    module i at step t:  h_t(i) = tanh(W(i) x_t + sum_j>=i U(i, j) h_t-1(j) + b(i))     if t mod T_i = 0
                         h_t(i) = h_t-1(i)                                              otherwise

The modules are sorted by their periods, T_1 < T_2 < ..., and each listens to itself and to slower ones: U is block
upper triangular. A module that does not run keeps its state, and the gradient goes through it unchanged. The paper does
not number the first step; here it is 0, in which every module runs, unless `first` says otherwise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saccade.attention.content import check_sizes
from saccade.core.errors import InvalidInput
from saccade.core.products import TORCH, Products
from saccade.memory.delayed_rnn import check_ascending


class ClockworkRNNState(NamedTuple):
    hidden: Float[Tensor, "b h"]
    time: Int[Tensor, " b"]
    """The number of the next step."""


class ClockworkRNN(nn.Module):
    """Clockwork RNN (Koutnik et al. 2014) over (b, t, d). The output is the hidden state, the fastest module first.

    Args:
        input_size: features of the input; 0 for a network that generates its output from nothing.
        module_size: features of each module.
        periods: the period of each module, in ascending order.
        first: the number of the first step.

    Raises:
        InvalidInput: periods that do not ascend from at least 1; inputs with the wrong number of features.
    """

    def __init__(
        self, input_size: int, module_size: int, *, periods: Sequence[int] = (1, 2, 4, 8), first: int = 0
    ) -> None:
        super().__init__()
        check_sizes(module_size=module_size)
        check_ascending("periods", periods)
        self.input_size, self.module_size, self.first, self.periods = input_size, module_size, first, tuple(periods)
        self.hidden_size = len(self.periods) * module_size
        self.weight_input = nn.Parameter(torch.empty(self.hidden_size, input_size))
        # only what is not zero is a weight, so no optimiser can fill the rest
        self.weight_hidden = nn.ParameterList(
            nn.Parameter(torch.empty(module_size, self.hidden_size - start))
            for start in range(0, self.hidden_size, module_size)
        )
        self.bias = nn.Parameter(torch.empty(self.hidden_size))
        self.products: Products = TORCH
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight_input)
        nn.init.zeros_(self.bias)
        for row in self.weight_hidden:
            nn.init.xavier_uniform_(row)

    def initial_state(self, batch_size: int) -> ClockworkRNNState:
        time = torch.full((batch_size,), self.first, device=self.bias.device)
        return ClockworkRNNState(self.bias.new_zeros(batch_size, self.hidden_size), time)

    def project(self, inputs: Float[Tensor, "*b d"]) -> Float[Tensor, "*b h"]:
        """W x + b: the part of a step that does not depend on the previous one."""
        if inputs.shape[-1] != self.input_size:
            raise InvalidInput(f"inputs must have {self.input_size} features, not {inputs.shape[-1]}")
        return self.products.linear(inputs, self.weight_input, self.bias)

    def recurrent(self) -> Float[Tensor, "h h"]:
        """U, transposed: zero where a module would listen to a faster one."""
        rows = [
            torch.cat([row.new_zeros(len(row), self.hidden_size - row.shape[1]), row], 1) for row in self.weight_hidden
        ]
        return torch.cat(rows).mT

    def running(self, time: Int[Tensor, " b"], steps: int) -> Bool[Tensor, "b t h"]:
        """Which features change in each step."""
        numbers = time[:, None] + torch.arange(steps, device=time.device)
        periods = torch.tensor(self.periods, device=time.device)
        return (numbers[..., None] % periods == 0).repeat_interleave(self.module_size, -1)

    def step(
        self, inputs: Float[Tensor, "b d"], state: ClockworkRNNState
    ) -> tuple[Float[Tensor, "b h"], ClockworkRNNState]:
        """One time step; the output is the new hidden state."""
        outputs, state = self.forward(inputs[:, None], state)
        return outputs[:, 0], state

    def forward(
        self, inputs: Float[Tensor, "b t d"], state: ClockworkRNNState | None = None
    ) -> tuple[Float[Tensor, "b t h"], ClockworkRNNState]:
        """All time steps; the result equals T single steps."""
        hidden, time = self.initial_state(inputs.shape[0]) if state is None else state
        weight, outputs, steps = self.recurrent(), [], inputs.shape[1]
        projected = self.project(inputs).unbind(1)
        for sums, runs in zip(projected, self.running(time, steps).unbind(1), strict=True):
            # under autocast the products are bfloat16, the state is not
            new = self.products.add(sums, hidden, weight).to(hidden.dtype).tanh()
            hidden = torch.where(runs, new, hidden)
            outputs.append(hidden)
        state = ClockworkRNNState(hidden, time + steps)
        return (torch.stack(outputs, 1) if outputs else hidden[:, None][:, :0]), state
