"""Weights taken from `torch.nn.RNN`, `GRU` and `LSTM`, and given back: one layer, one direction.

torch has two biases, of the input's and of the hidden state's product, where one would do. Its gates stand in the same
order as ours: r, z, candidate in a GRU; i, f, candidate, o in an LSTM.
"""

from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput

M = TypeVar("M", bound=nn.Module)


class Taken(NamedTuple):
    """The weights of a recurrent layer of torch; without biases, zeros."""

    weight_input: Float[Tensor, "gates d"]
    weight_hidden: Float[Tensor, "gates h"]
    bias_input: Float[Tensor, " gates"]
    bias_hidden: Float[Tensor, " gates"]

    def put(self, ours: M, bias: Float[Tensor, " gates"], **others: Tensor) -> M:
        """Copy them into a module of ours, which takes their type and device; `others` are copied by name."""
        weights = {"weight_input": self.weight_input, "weight_hidden": self.weight_hidden, "bias": bias} | others
        ours.to(self.weight_input)
        with torch.no_grad():
            for name, weight in weights.items():
                getattr(ours, name).copy_(weight)
        return ours


def taken(theirs: nn.RNNBase) -> Taken:
    """The weights of a layer of torch.

    Raises:
        InvalidInput: several layers, two directions, or a projected hidden state.
    """
    if theirs.num_layers != 1 or theirs.bidirectional or theirs.proj_size:
        kind = type(theirs).__name__
        raise InvalidInput(
            f"expected a torch.nn.{kind} of one layer and one direction without a projection, not {theirs}"
        )
    weight_input, weight_hidden = theirs.weight_ih_l0, theirs.weight_hh_l0
    assert isinstance(weight_input, Tensor)
    assert isinstance(weight_hidden, Tensor)
    if not theirs.bias:
        zeros = weight_input.new_zeros(len(weight_input))
        return Taken(weight_input, weight_hidden, zeros, zeros)
    bias_input, bias_hidden = theirs.bias_ih_l0, theirs.bias_hh_l0
    assert isinstance(bias_input, Tensor)
    assert isinstance(bias_hidden, Tensor)
    return Taken(weight_input, weight_hidden, bias_input, bias_hidden)


def given(theirs: M, weight_input: Tensor, weight_hidden: Tensor, bias_input: Tensor, bias_hidden: Tensor) -> M:
    """Copy weights into a layer of torch, which takes their type and device."""
    theirs.to(weight_input)
    with torch.no_grad():
        weights = {"weight_ih": weight_input, "weight_hh": weight_hidden, "bias_ih": bias_input, "bias_hh": bias_hidden}
        for name, weight in weights.items():
            getattr(theirs, f"{name}_l0").copy_(weight)
    return theirs
