"""Sentences as vectors: bags of words, and position encoding. Sukhbaatar et al. 2015, arXiv:1503.08895, section 4.1.

    m    = sum_j A x_j                                bag of words
    m    = sum_j l_j * A x_j                          position encoding
    l_kj = (1 - j/J) - (k/d) (1 - 2 j/J)              k = 1..d, j = 1..J

J the number of words of this sentence, without padding. l is linear in k, so that a sentence is the sum of two bags,
with weights 1 - j/J and 1 - 2 j/J, the second times -k/d. Symbol 0 is no word: its vector is zero and has no gradient.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.core.masks import check_mask_dtype

Encoding = Literal["position", "bag"]


def sentence_vectors(
    symbols: Int[Tensor, "s w"], tables: Float[Tensor, "v g d"], encoding: Encoding = "position"
) -> Float[Tensor, "s g d"]:
    """The vectors of s sentences in each of g tables of embeddings. Words stand in order; zeros anywhere are skipped.

    Raises:
        InvalidInput: another encoding, or a symbol outside the tables.
    """
    size, (count, _, width) = len(symbols), tables.shape
    if encoding not in ("position", "bag"):
        raise InvalidInput(f'encoding must be "position" or "bag", not {encoding!r}')
    if symbols.numel() and symbols.device.type == "cpu" and not torch.compiler.is_compiling():
        least, most = int(symbols.min()), int(symbols.max())
        if least < 0 or most >= count:
            raise InvalidInput(f"symbols must be from 0 to {count - 1}, not {least} to {most}")
    words = (symbols > 0).to(tables.dtype)
    weights = words
    if encoding == "position":
        part = words.cumsum(1) / words.sum(1, keepdim=True).clamp(min=1)
        symbols, weights = torch.cat([symbols, symbols]), torch.cat([(1 - part) * words, (1 - 2 * part) * words])
    if symbols.shape[1] == 0 or size == 0:
        return (tables.sum() * 0).expand(size, *tables.shape[1:])
    sums = F.embedding_bag(symbols, tables.flatten(1), mode="sum", per_sample_weights=weights)
    bags: Tensor = sums.unflatten(1, (-1, width))
    if encoding == "bag":
        return bags
    features = torch.arange(1, width + 1, device=tables.device, dtype=tables.dtype) / width
    return torch.addcmul(bags[:size], bags[size:], features, value=-1)


def padded(rows: Float[Tensor, "s *r"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n *r"]:
    """Rows at the places where the mask is True, in order, and zeros elsewhere."""
    places = mask.flatten().nonzero()[:, 0]
    spread: Tensor = rows.new_zeros(mask.numel(), *rows.shape[1:]).index_copy(0, places, rows)
    return spread.unflatten(0, mask.shape)  # type: ignore[no-any-return]


def story_mask(stories: Int[Tensor, "b n w"], mask: Tensor | None) -> Bool[Tensor, "b n"]:
    """The mask of the sentences; all are remembered if it is None.

    Raises:
        InvalidInput: a mask of another dtype or shape.
    """
    if mask is None:
        return torch.ones(stories.shape[:2], dtype=torch.bool, device=stories.device)
    check_mask_dtype(mask)
    if mask.shape != stories.shape[:2]:
        raise InvalidInput(f"the mask of stories must have shape {tuple(stories.shape[:2])}, not {tuple(mask.shape)}")
    return mask
