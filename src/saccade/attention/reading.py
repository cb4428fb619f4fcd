"""The contract of attention in a recurrent decoder: `prepare` once per sequence, then `read` once per step."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from saccade.core.errors import InvalidInput


class Reading(NamedTuple):
    """The result of `read`: the context (b, d) or (b, q, d), the weights (b, k) or (b, q, k), and the new state."""

    context: Tensor
    weights: Tensor
    state: Any


class OneQuery(nn.Module):
    """The base of mechanisms whose next read depends on the last one: they take one query per sequence at a time."""

    def forward(self, *_: Any, **__: Any) -> Tensor:
        raise InvalidInput(
            f"{type(self).__name__} takes one query at a time: call prepare, initial_state, then read for each query"
        )


@runtime_checkable
class Attention(Protocol):
    """Any attention mechanism of a decoder. `prepared` and `state` are tuples of tensors, batch first."""

    def prepare(self, keys: Tensor, mask: Tensor | None = None, values: Tensor | None = None) -> Any:
        """Everything that does not depend on the query. Keys (b, k, d); mask (b, k), True = may be attended; values
        default to keys."""

    def initial_state(self, prepared: Any) -> Any:
        """The state before the first read; () if the mechanism has none."""

    def read(self, query: Tensor, prepared: Any, state: Any = ()) -> Reading:
        """Read with one query (b, d), or, if the mechanism has no state, with several (b, q, d)."""
