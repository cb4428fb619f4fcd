"""States are nested tuples of tensors, batch first. What a search or a decoder does to all of a state at once."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from jaxtyping import Int
from torch import Tensor

from saccade.core.growing import Growing

S = TypeVar("S")
Change = Callable[[Tensor], Tensor]


class Constant(NamedTuple):
    """A part of a state that all hypotheses of one sentence share, such as prepared keys: one row a sentence.

    Where a search holds n hypotheses of b sentences, other parts have n rows, those of a sentence side by side; a
    constant part has b.
    """

    value: Any

    @property
    def sentences(self) -> int:
        """The rows of every tensor in it."""
        return len(next(tensors(self.value)))

    def spread(self, rows: int) -> Any:
        """The value with one row a hypothesis, of which there are `rows`."""

        def repeated(tensor: Tensor) -> Tensor:
            if len(tensor) == rows:
                return tensor
            assert rows % len(tensor) == 0, "every sentence has as many hypotheses"
            return tensor.repeat_interleave(rows // len(tensor), 0)

        return map_state(repeated, self.value)


def tensors(state: Any) -> Iterator[Tensor]:
    """Every tensor of a state."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Growing):
        yield state.tensor
    elif isinstance(state, tuple):
        for part in state:
            yield from tensors(part)


def map_state(function: Change, state: S, constants: Change | None = None) -> S:
    """The state with a function applied to each tensor; `constants` to those of its constant parts, if given."""
    mapped: Any
    if isinstance(state, Tensor):
        mapped = function(state)
    elif isinstance(state, Growing):
        mapped = state.map(function)
    elif isinstance(state, Constant) and constants is not None:
        mapped = Constant(map_state(constants, state.value))
    elif isinstance(state, tuple):
        parts = [map_state(function, part, constants) for part in state]
        mapped = type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    elif state is None:
        mapped = None
    else:
        raise TypeError(f"a state holds tensors, tuples and None, not {type(state).__name__}")
    return mapped  # type: ignore[no-any-return]


def select(state: S, rows: Int[Tensor, " n"], sentences: Int[Tensor, " m"] | None = None) -> S:
    """Those rows of the hypotheses, in that order, repeats allowed; of constant parts those `sentences`, None: all."""

    def kept(tensor: Tensor) -> Tensor:
        return tensor if sentences is None else tensor.index_select(0, sentences)

    return map_state(lambda tensor: tensor.index_select(0, rows), state, kept)
