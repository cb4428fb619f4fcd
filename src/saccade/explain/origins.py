"""The origin of a tensor, and the events that `scores` reports of it."""

from typing import NamedTuple

from torch import Tensor


class Followed(NamedTuple):
    """The origin of a tensor: whether it comes from a product, and from which softmaxes."""

    product: bool
    softmaxes: tuple[int, ...] = ()
    pieces: bool = False
    """Whether its columns are not exactly the keys: it was assembled from pieces, or its rows do not sum to 1."""
    changed: bool = False
    """Whether it may differ from the result of the softmax."""
    heads: int = 0
    """The number of heads that were merged into its first axis, those of one sequence adjacent; 0 if unknown."""
    keys: int = 0
    """For the result of a softmax: its number of columns."""
    all_keys: int = 0
    """The number of columns that the softmax had."""
    stand: Tensor | None = None
    """Its position in the softmax's result (`layout`); None if unknown."""
    gone: int = 0
    """For scores: the number of keys before the first column."""
    contexts: frozenset[int] = frozenset()
    """The softmaxes whose results were used by the product it comes from."""


class Softmax(NamedTuple):
    """A softmax over scores."""

    number: int
    heads: int
    """As in `Followed`."""
    gone: int
    unknown: str
    """Why its weights cannot be read; empty if they can."""


class Used(NamedTuple):
    """A softmax whose result entered a product: attention."""

    number: int
    operand: Tensor
    stand: Tensor | None
    """The position of the operand in the softmax's result."""
    as_used: Tensor | None
    """The same as (n, q, k) or (q, k) (`layout.as_used`)."""
    columns: tuple[int, int] | None
    """The range of its columns that are used; None if unknown, and all are shown."""
    changed: bool
    """As in `Followed`."""


class Joined(NamedTuple):
    """Softmaxes that may be pieces of one attention, since their results were concatenated."""

    numbers: frozenset[int]


class Summed(NamedTuple):
    """Softmaxes whose results were multiplied elementwise and summed, as in a router, or possibly in attention."""

    numbers: tuple[int, ...]


Event = Softmax | Used | Joined | Summed
