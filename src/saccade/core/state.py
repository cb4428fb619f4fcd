"""States are nested tuples of tensors, batch first. What a search or a decoder does to all of a state at once."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from jaxtyping import Int
from torch import Tensor

from saccade.core.growing import Growing

S = TypeVar("S")
Change = Callable[[Tensor], Tensor]


class Constant:
    """A part of a state that all hypotheses of one sentence share, such as prepared keys: one row a sentence.

    Where a search holds n hypotheses of b sentences, other parts have n rows, those of a sentence side by side; a
    constant part has b.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self._spread: tuple[int, Any] = (0, None)

    @property
    def sentences(self) -> int:
        """The rows of every tensor in it."""
        return len(next(tensors(self.value)))

    def spread(self, rows: int) -> Any:
        """The value with one row a hypothesis, of which there are `rows`; kept, since many steps ask for the same."""

        def repeated(tensor: Tensor) -> Tensor:
            if len(tensor) == rows:
                return tensor
            assert rows % len(tensor) == 0, "every sentence has as many hypotheses"
            return tensor.repeat_interleave(rows // len(tensor), 0)

        if self._spread[0] != rows:
            self._spread = rows, map_state(repeated, self.value)
        return self._spread[1]

    def map(self, function: Change) -> "Constant":
        """With a function applied to each tensor; itself where that changes none."""
        mapped = map_state(function, self.value)
        same = all(new is old for new, old in zip(tensors(mapped), tensors(self.value), strict=True))
        return self if same else Constant(mapped)


def tensors(state: Any) -> Iterator[Tensor]:
    """Every tensor of a state."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Growing):
        yield state.tensor
    elif isinstance(state, Constant):
        yield from tensors(state.value)
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
    elif isinstance(state, Constant):
        mapped = state.map(function if constants is None else constants)
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
