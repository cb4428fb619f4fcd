"""States: nested tuples of tensors, batch first, and the operations of a search or a decoder on all their tensors."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from jaxtyping import Int
from torch import Tensor

from saccade.core.growing import Growing

S = TypeVar("S")
Change = Callable[[Tensor], Tensor]


class Constant:
    """A part of a state that all hypotheses of a sentence share, such as prepared keys: one row per sentence.

    In a search with n hypotheses of b sentences, other parts have n rows, those of a sentence adjacent; a constant part
    has b rows.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self._spread: tuple[int, Any] = (0, None)

    @property
    def sentences(self) -> int:
        """The number of rows of each of its tensors."""
        return len(next(tensors(self.value)))

    def spread(self, rows: int) -> Any:
        """The value with one row per hypothesis, `rows` in all; cached, since many steps need the same."""

        def repeated(tensor: Tensor) -> Tensor:
            if len(tensor) == rows:
                return tensor
            assert rows % len(tensor) == 0, "every sentence has the same number of hypotheses"
            return tensor.repeat_interleave(rows // len(tensor), 0)

        if self._spread[0] != rows:
            self._spread = rows, map_state(repeated, self.value)
        return self._spread[1]

    def map(self, function: Change) -> "Constant":
        """Apply a function to each tensor; returns itself if no tensor changed."""
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
    """Apply a function to each tensor of the state; if given, `constants` is applied to the constant parts instead."""
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
    """Select rows of the hypotheses, in order, with repeats; and of the constant parts the rows `sentences`, all by
    default."""

    def kept(tensor: Tensor) -> Tensor:
        return tensor if sentences is None else tensor.index_select(0, sentences)

    return map_state(lambda tensor: tensor.index_select(0, rows), state, kept)
