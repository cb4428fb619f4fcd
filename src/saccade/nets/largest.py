"""The largest numbers of long rows, for a search: faster than `topk` over the whole vocabulary."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 64


def largest(scores: Float[Tensor, "n v"], count: int) -> tuple[Float[Tensor, "n c"], Int[Tensor, "n c"]]:
    """The `count` largest of each row, in order, with their positions; ties in any order.

    They are in the `count` blocks with the largest maxima, or in the remainder after the last block, so only these are
    searched.
    """
    rows, width = scores.shape
    blocks = width // BLOCK
    if blocks < 2 * count:
        return scores.topk(count, dim=1)
    tail = width - blocks * BLOCK
    whole = scores[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK))
    chosen = whole.amax(2).topk(count, dim=1).indices
    near = torch.arange(BLOCK, device=scores.device)
    places = (chosen[:, :, None] * BLOCK + near).flatten(1)
    if tail:
        rest = torch.arange(blocks * BLOCK, width, device=scores.device).expand(rows, -1)
        places = torch.cat([places, rest], 1)
    values, index = scores.gather(1, places).topk(count, dim=1)
    return values, places.gather(1, index)
