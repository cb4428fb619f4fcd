"""The contract of attention in a recurrent decoder: `prepare` once a sequence, then `read` once a step."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from saccade.core.errors import InvalidInput


class Reading(NamedTuple):
    """What one look gives: the context (b, d) or (b, q, d), the weights (b, k) or (b, q, k), and the state after it."""

    context: Tensor
    weights: Tensor
    state: Any


class OneLook(nn.Module):
    """The base of mechanisms whose next look depends on the last one: they take one query a sequence at a time."""

    def forward(self, *_: Any, **__: Any) -> Tensor:
        raise InvalidInput(
            f"{type(self).__name__} looks once at a time: prepare, initial_state, and read for each look"
        )


@runtime_checkable
class Attention(Protocol):
    """Any mechanism that a decoder can read with. `prepared` and `state` are tuples of tensors, batch first."""

    def prepare(self, keys: Tensor, mask: Tensor | None = None, values: Tensor | None = None) -> Any:
        """All that no query changes. Keys (b, k, d); mask (b, k), True = may be attended; values default to keys."""

    def initial_state(self, prepared: Any) -> Any:
        """What the mechanism remembers before its first look; () if nothing."""

    def read(self, query: Tensor, prepared: Any, state: Any = ()) -> Reading:
        """One look, by a query (b, d); or, of a mechanism that remembers nothing, by several (b, q, d)."""
