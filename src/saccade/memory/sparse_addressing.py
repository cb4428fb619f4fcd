"""The sparse steps of a memory that reads the K nearest of many slots. Rae et al. 2016, arXiv:1610.09027, section 3.

    ww = alpha (gamma wr + (1 - gamma) I)              equation 5: wr of the step before, I the least recent slot
    wr = softmax over the K nearest slots of beta cos(q, M(i))

Weights stand beside the numbers of their slots. b batch, h heads, n slots, m slot width, k nearest; k1 is k + 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saccade.memory.addressing import SHORTEST, direction

DELTA = 0.005
Search = Callable[[Tensor, Tensor, int, Tensor | None], Tensor]
"""(memory (b, n, m), queries (b, h, m), K, written) -> the K slots nearest to each query by cosine (b, h, K), all
different. `written` (b, r) are the slots that changed since the last call; None: the memory is another one, of which an
index has to be built."""


class Emitted(NamedTuple):
    query: Float[Tensor, "b h m"]
    add: Float[Tensor, "b h m"]
    write_gate: Float[Tensor, "b h"]
    """alpha."""
    interpolation: Float[Tensor, "b h"]
    """gamma."""
    strength: Float[Tensor, "b h"]


def nearest(
    memory: Float[Tensor, "b n m"], query: Float[Tensor, "b h m"], count: int, written: Tensor | None = None
) -> Int[Tensor, "b h k"]:
    """The slots nearest to each query by cosine: exact, over all of them."""
    # the length of a query does not change the order, and the slots need not be divided by theirs one by one
    lengths = torch.linalg.vector_norm(memory, dim=-1).clamp_min_(SHORTEST)
    return (query @ memory.mT).div_(lengths[:, None]).topk(count, sorted=False).indices


def least_recent(accessed: Int[Tensor, "b n"], count: int) -> Int[Tensor, "b h"]:
    """The slots that were accessed longest ago, the least recent first."""
    if count == 1:
        return accessed.argmin(1, keepdim=True)
    return accessed.topk(count, largest=False).indices


def long_ago(accessed: Int[Tensor, "b n"], count: int) -> Int[Tensor, "b c"]:
    """The `count` slots that were accessed longest ago, or all, in any order. Until as many slots have been accessed,
    the least recent one is among them, so a step need not search all slots."""
    return accessed.topk(min(count, accessed.shape[1]), largest=False, sorted=False).indices


def write_weights(emitted: Emitted, read_weights: Float[Tensor, "b h k"]) -> Float[Tensor, "b h k1"]:
    """Equation 5: the weights of the slots read a step before, then of the least recent one."""
    again = (emitted.write_gate * emitted.interpolation)[..., None] * read_weights
    return torch.cat([again, (emitted.write_gate * (1 - emitted.interpolation))[..., None]], -1)


def read_content(
    content: Float[Tensor, "b h k m"], query: Float[Tensor, "b h m"], strength: Float[Tensor, "b h"]
) -> tuple[Float[Tensor, "b h k"], Float[Tensor, "b h m"]]:
    """The weights of the nearest slots, and what they read."""
    scores = (direction(content) @ (strength[..., None] * direction(query))[..., None])[..., 0]
    weights = scores.softmax(-1)
    return weights, (weights[..., None, :] @ content)[..., 0, :]


def gather(memory: Float[Tensor, "b n m"], slots: Int[Tensor, "b r"]) -> Float[Tensor, "b r m"]:
    """The contents of some slots."""
    return memory.gather(1, slots[..., None].expand(-1, -1, memory.shape[2]))


def scatter_write(
    memory: Float[Tensor, "b n m"],
    slots: Int[Tensor, "b h k1"],
    weights: Float[Tensor, "b h k1"],
    add: Float[Tensor, "b h m"],
) -> Float[Tensor, "b n m"]:
    """Erase the last slot of each head, then add to all; changes the memory in place."""
    size = memory.shape[2]
    memory.scatter_(1, slots[..., -1, None].expand(-1, -1, size), 0)
    added = (weights[..., None] * add[:, :, None]).flatten(1, 2)
    return memory.scatter_add_(1, slots.flatten(1)[..., None].expand(-1, -1, size), added)


def accessed_after(
    accessed: Int[Tensor, "b n"],
    slots: Int[Tensor, "b a"],
    weights: Float[Tensor, "b a"],
    time: Int[Tensor, " b"],
) -> Int[Tensor, "b n"]:
    """The times of access after a step; the weights are the sum of all that each slot was read and written with.
    Changes them in place."""
    # no two times are equal: slots accessed in the same step are in the order of the memory
    now = time[:, None] * accessed.shape[1] + slots
    now = now.where(weights > DELTA, torch.iinfo(now.dtype).min)
    return accessed.scatter_reduce_(1, slots, now, "amax")


def together(slots: Int[Tensor, "b a"], weights: Float[Tensor, "b a"]) -> Float[Tensor, "b a"]:
    """The weights of slots that may occur several times, each the sum over its occurrences."""
    return ((slots[:, :, None] == slots[:, None]).to(weights.dtype) @ weights[..., None])[..., 0]


def dense(slots: Int[Tensor, "*b k"], weights: Float[Tensor, "*b k"], count: int) -> Float[Tensor, "*b n"]:
    """The weights of all `count` slots: 0 where none is given, and the sum where several are."""
    return weights.new_zeros(*weights.shape[:-1], count).scatter_add(-1, slots, weights)
