"""Simple recurrent network. Elman 1990, doi:10.1207/s15516709cog1402_1.

    h_t = phi(W x_t + U h_t-1 + b)                     phi tanh, relu or the identity

x input, h hidden state, which is also the output. W x of all time steps is one product outside the loop.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.products import TORCH, Products
from saccade.memory.interchange import given, taken

Nonlinearity = Literal["tanh", "relu", "identity"]
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "identity": lambda sums: sums,
}


class RNNState(NamedTuple):
    hidden: Float[Tensor, "b h"]


def nonlinear(name: str) -> Callable[[Tensor], Tensor]:
    """phi by its name.

    Raises:
        InvalidInput: there is none of this name.
    """
    if name not in FUNCTIONS:
        raise InvalidInput(f"nonlinearity must be {' or '.join(map(repr, FUNCTIONS))}, not {name!r}")
    return FUNCTIONS[name]


class RNN(nn.Module):
    """Simple recurrent network (Elman 1990) over (b, t, d).

    Args:
        input_size: features of the input.
        hidden_size: features of the state and of the output.
        nonlinearity: "tanh", "relu" or "identity".

    Raises:
        InvalidInput: inputs with the wrong number of features; another nonlinearity.
    """

    def __init__(self, input_size: int, hidden_size: int, *, nonlinearity: Nonlinearity = "tanh") -> None:
        super().__init__()
        nonlinear(nonlinearity)
        self.input_size, self.hidden_size, self.nonlinearity = input_size, hidden_size, nonlinearity
        self.weight_input = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hidden = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(hidden_size))
        self.products: Products = TORCH
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.orthogonal_(self.weight_hidden)
        nn.init.xavier_uniform_(self.weight_input)
        nn.init.zeros_(self.bias)

    @classmethod
    def from_torch(cls, theirs: nn.RNN) -> "RNN":
        """The same network from a `torch.nn.RNN`; its two biases are added.

        Raises:
            InvalidInput: several layers, or two directions.
        """
        weights = taken(theirs)
        ours = cls(theirs.input_size, theirs.hidden_size, nonlinearity=theirs.nonlinearity)
        return weights.put(ours, weights.bias_input + weights.bias_hidden)

    def to_torch(self) -> nn.RNN:
        """The same network as a `torch.nn.RNN`, batch first; its second bias is zero.

        Raises:
            InvalidInput: the identity, which torch has not.
        """
        if self.nonlinearity == "identity":
            raise InvalidInput('torch.nn.RNN has no nonlinearity "identity"; it has "tanh" and "relu"')
        theirs = nn.RNN(self.input_size, self.hidden_size, nonlinearity=self.nonlinearity, batch_first=True)
        return given(theirs, self.weight_input, self.weight_hidden, self.bias, torch.zeros_like(self.bias))

    def initial_state(self, batch_size: int) -> RNNState:
        return RNNState(self.bias.new_zeros(batch_size, self.hidden_size))

    def project(self, inputs: Float[Tensor, "*b d"]) -> Float[Tensor, "*b h"]:
        """W x + b: the part of a step that does not depend on the previous one."""
        if inputs.shape[-1] != self.input_size:
            raise InvalidInput(f"inputs must have {self.input_size} features, not {inputs.shape[-1]}")
        return self.products.linear(inputs, self.weight_input, self.bias)

    def step(self, inputs: Float[Tensor, "b d"], state: RNNState) -> tuple[Float[Tensor, "b h"], RNNState]:
        """One time step; the output is the new state."""
        outputs, state = self.forward(inputs[:, None], state)
        return outputs[:, 0], state

    def forward(
        self, inputs: Float[Tensor, "b t d"], state: RNNState | None = None
    ) -> tuple[Float[Tensor, "b t h"], RNNState]:
        """All time steps; the result equals T single steps."""
        hidden = (self.initial_state(inputs.shape[0]) if state is None else state).hidden
        phi, weight, add, outputs = nonlinear(self.nonlinearity), self.weight_hidden.mT, self.products.add, []
        for projected in self.project(inputs).unbind(1):
            # under autocast the products are bfloat16, the state is not
            hidden = phi(add(projected, hidden, weight).to(hidden.dtype))
            outputs.append(hidden)
        if not outputs:
            return hidden[:, None][:, :0], RNNState(hidden)
        return torch.stack(outputs, 1), RNNState(hidden)
