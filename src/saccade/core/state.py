"""States are nested tuples of tensors, batch first. What a search or a decoder does to all of a state at once."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from jaxtyping import Int
from torch import Tensor

S = TypeVar("S")


class Constant(NamedTuple):
    """A part of a state that no step changes and that all hypotheses of one sentence share, such as prepared keys."""

    value: Any


def map_state(function: Callable[[Tensor], Tensor], state: S, constants: bool = True) -> S:
    """The state with the function applied to each tensor; without `constants`, those parts stay as they are."""
    mapped: Any
    if isinstance(state, Tensor):
        mapped = function(state)
    elif isinstance(state, Constant) and not constants:
        mapped = state
    elif isinstance(state, tuple):
        parts = [map_state(function, part, constants) for part in state]
        mapped = type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    elif state is None:
        mapped = None
    else:
        raise TypeError(f"a state holds tensors, tuples and None, not {type(state).__name__}")
    return mapped  # type: ignore[no-any-return]


def select(state: S, rows: Int[Tensor, " n"], constants: bool = True) -> S:
    """Those rows of the batch, in that order, repeats allowed."""
    return map_state(lambda tensor: tensor.index_select(0, rows), state, constants)
