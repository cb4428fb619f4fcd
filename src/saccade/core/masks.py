"""Masks and the masked softmax. A mask is bool; True = may be attended.

A row with nothing to attend has zero weights, hence a zero context, and zero gradients, in every precision.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput

VECTOR = 64  # bytes of a CPU's widest register
SMALL = 1 << 12  # elements; fewer are computed faster than padded


def length_mask(lengths: Int[Tensor, " b"], size: int) -> Bool[Tensor, "b k"]:
    """True at the first `lengths[i]` of `size` positions of row i."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def masked_softmax(scores: Float[Tensor, "..."], mask: Bool[Tensor, "..."] | None) -> Float[Tensor, "..."]:
    """Softmax over the last axis, restricted to the positions where the mask (broadcast to the scores) is True."""
    if mask is None:
        return softmax(scores)
    empty = ~mask.any(-1, keepdim=True)
    # -inf makes a masked weight exactly 0; an empty row is left unmasked, which avoids 0/0, and zeroed afterwards
    weights = softmax(scores.masked_fill(~(mask | empty), -torch.inf))
    return weights.masked_fill(empty, 0.0)


def softmax(scores: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Softmax over the last axis."""
    size, whole = scores.shape[-1], VECTOR // scores.element_size()
    # on a CPU a row shorter than a register is computed element by element, which takes up to ten times as long
    if scores.device.type == "cpu" and size < whole and scores.numel() > SMALL:
        return F.pad(scores, (0, whole - size), value=-torch.inf).softmax(-1)[..., :size]
    return scores.softmax(-1)


def places(mask: Bool[Tensor, "b *q k"] | None, size: int, device: torch.device) -> Int[Tensor, "..."]:
    """The position of each key among those that may be attended, from 1; (k,) without a mask, else the mask's shape."""
    return torch.arange(1, size + 1, device=device) if mask is None else mask.cumsum(-1)


def check_key_mask(mask: Tensor | None, keys: Float[Tensor, "b k d"]) -> None:
    """Check that the mask is None or bool of shape (b, k).

    Raises:
        InvalidInput: another dtype, rank or size.
    """
    if mask is not None:
        check_mask_dtype(mask)
        if mask.shape != keys.shape[:2]:
            raise InvalidInput(f"the key mask must have shape {tuple(keys.shape[:2])}, not {tuple(mask.shape)}")


def score_mask(mask: Tensor | None, scores_shape: tuple[int, ...]) -> Bool[Tensor, "..."] | None:
    """The mask, (b, k) or of the scores' full rank, broadcastable to the scores (b, ..., k).

    Raises:
        InvalidInput: another dtype or rank, or a size that does not match (right-aligned broadcasting of a lower rank
            would be silently wrong where there are as many queries as sequences).
    """
    if mask is None:
        return None
    check_mask_dtype(mask)
    rank = len(scores_shape)
    if mask.ndim == 2 and rank > 2:
        mask = mask.reshape(mask.shape[0], *[1] * (rank - 2), mask.shape[1])
    fits = mask.ndim == rank and all(m in (1, s) for m, s in zip(mask.shape, scores_shape, strict=True))
    if not fits or mask.shape[-1] != scores_shape[-1]:
        raise InvalidInput(
            f"a mask for scores of shape {tuple(scores_shape)} must have shape "
            f"{(scores_shape[0], scores_shape[-1])} or that of the scores, not {tuple(mask.shape)}"
        )
    return mask


def check_mask_dtype(mask: Tensor) -> None:
    if mask.dtype != torch.bool:
        raise InvalidInput(f"a mask must be bool (True = may be attended), not {mask.dtype}")
