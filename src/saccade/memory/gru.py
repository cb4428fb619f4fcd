"""Gated recurrent unit. Cho et al. 2014, arXiv:1406.1078, section 2.3 and A.1.1; Bahdanau et al. 2015, A.1.1.

    r  = sigmoid(W_r x + U_r h + b_r)                  reset
    z  = sigmoid(W_z x + U_z h + b_z)                  update: z keeps the past, as in Cho 2014 and in torch
    h~ = tanh(W x + U (r * h) + b)                     reset="before" (Cho 2014, Bahdanau 2015)
    h~ = tanh(W x + r * (U h + b_U) + b)               reset="after"  (cuDNN and torch.nn.GRU)
    h' = z * h + (1 - z) * h~

The update gate of Bahdanau 2015 is inverted: its z is our 1 - z. W x of all time steps is one product outside the loop.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.products import TORCH, Products, add_product
from saccade.memory.interchange import given, taken


class GRUState(NamedTuple):
    hidden: Float[Tensor, "b h"]


class Projected(NamedTuple):
    """W x + b of the two gates (r, z) and of the candidate, stored separately so that the steps need no slicing."""

    gates: Float[Tensor, "*b 2*h"]
    candidate: Float[Tensor, "*b h"]


class Recurrent(NamedTuple):
    """U of the two gates and of the candidate, transposed; and the bias of U h if the reset comes after the product."""

    gates: Float[Tensor, "*g h 2*h"]
    candidate: Float[Tensor, "*g h h"]
    bias: Float[Tensor, " h"] | None
    add: Callable[[Tensor, Tensor, Tensor], Tensor] = add_product
    """The product: sums + hidden weight."""


def gru_step(projected: Projected, hidden: Float[Tensor, "*g b h"], recurrent: Recurrent) -> Float[Tensor, "*g b h"]:
    """One step from a projected input. The reset comes after the product if there is a recurrent bias.

    A leading axis g is for independent nets, such as the two directions of an encoder. Where z's block is +inf the
    state is kept exactly, and so is its gradient.
    """
    reset, update = torch.sigmoid(recurrent.add(projected.gates, hidden, recurrent.gates)).chunk(2, -1)
    if recurrent.bias is None:
        candidate = torch.tanh(recurrent.add(projected.candidate, reset * hidden, recurrent.candidate))
    else:
        candidate = torch.tanh(projected.candidate + reset * (hidden @ recurrent.candidate + recurrent.bias))
    # under autocast the products are bfloat16, the state is not
    return torch.lerp(candidate.to(hidden.dtype), hidden, update.to(hidden.dtype))


class GRU(nn.Module):
    """Gated recurrent unit (Cho et al. 2014) over (b, t, d).

    Args:
        input_size: features of the input.
        hidden_size: features of the state and of the output.
        reset: whether the reset gate comes "before" the recurrent product (the papers) or "after" it (torch.nn.GRU).

    Raises:
        InvalidInput: inputs with the wrong number of features; another reset.
    """

    def __init__(self, input_size: int, hidden_size: int, *, reset: Literal["before", "after"] = "before") -> None:
        super().__init__()
        if reset not in ("before", "after"):
            raise InvalidInput(f'reset must be "before" or "after", not {reset!r}')
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_input = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.weight_hidden = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(3 * hidden_size))
        self.bias_hidden = nn.Parameter(torch.empty(hidden_size)) if reset == "after" else None
        self.products: Products = TORCH
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # orthogonal recurrent blocks, as in Bahdanau et al. 2015 (B.1)
        for block in self.weight_hidden.chunk(3):
            nn.init.orthogonal_(block)
        for block in self.weight_input.chunk(3):
            nn.init.xavier_uniform_(block)
        nn.init.zeros_(self.bias)
        if self.bias_hidden is not None:
            nn.init.zeros_(self.bias_hidden)

    @classmethod
    def from_torch(cls, theirs: nn.GRU) -> "GRU":
        """The same network from a `torch.nn.GRU`, whose reset comes after the product.

        Raises:
            InvalidInput: several layers, or two directions.
        """
        weights, size = taken(theirs), theirs.hidden_size
        ours = cls(theirs.input_size, size, reset="after")
        bias = weights.bias_input.clone()
        bias[: 2 * size] += weights.bias_hidden[: 2 * size]
        return weights.put(ours, bias, bias_hidden=weights.bias_hidden[2 * size :])

    def to_torch(self) -> nn.GRU:
        """The same network as a `torch.nn.GRU`, batch first.

        Raises:
            InvalidInput: the reset comes before the product, which torch cannot do.
        """
        if self.bias_hidden is None:
            raise InvalidInput('torch.nn.GRU resets after the product: only a GRU with reset="after" can be one')
        theirs = nn.GRU(self.input_size, self.hidden_size, batch_first=True)
        bias_hidden = torch.cat([torch.zeros_like(self.bias[: 2 * self.hidden_size]), self.bias_hidden])
        return given(theirs, self.weight_input, self.weight_hidden, self.bias, bias_hidden)

    def initial_state(self, batch_size: int) -> GRUState:
        return GRUState(self.bias.new_zeros(batch_size, self.hidden_size))

    def project(self, inputs: Float[Tensor, "*b d"]) -> Projected:
        """W x + b: the part of a step that does not depend on the previous one."""
        if inputs.shape[-1] != self.input_size:
            raise InvalidInput(f"inputs must have {self.input_size} features, not {inputs.shape[-1]}")
        return split(self.products.linear(inputs, self.weight_input, self.bias))

    def recurrent(self) -> Recurrent:
        """U, as `gru_step` takes it; prepared once before a loop."""
        gates, candidate = split(self.weight_hidden.mT)
        return Recurrent(gates, candidate, self.bias_hidden, self.products.add)

    def step(self, inputs: Float[Tensor, "b d"], state: GRUState) -> tuple[Float[Tensor, "b h"], GRUState]:
        """One time step; the output is the new state."""
        hidden = gru_step(self.project(inputs), state.hidden, self.recurrent())
        return hidden, GRUState(hidden)

    def forward(
        self, inputs: Float[Tensor, "b t d"], state: GRUState | None = None
    ) -> tuple[Float[Tensor, "b t h"], GRUState]:
        """All time steps; the result equals T single steps."""
        hidden = (self.initial_state(inputs.shape[0]) if state is None else state).hidden
        projected, recurrent, outputs = self.project(inputs), self.recurrent(), []
        for gates, candidate in zip(projected.gates.unbind(1), projected.candidate.unbind(1), strict=True):
            hidden = gru_step(Projected(gates, candidate), hidden, recurrent)
            outputs.append(hidden)
        if not outputs:
            return hidden[:, None][:, :0], GRUState(hidden)
        return torch.stack(outputs, 1), GRUState(hidden)


def split(blocks: Float[Tensor, "*b blocks"]) -> Projected:
    """The blocks r, z | h~ of the last axis, each contiguous."""
    size = blocks.shape[-1] // 3
    gates, candidate = blocks.split([2 * size, size], -1)
    return Projected(gates.contiguous(), candidate.contiguous())
