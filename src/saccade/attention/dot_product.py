"""Scaled dot-product attention. Vaswani et al. 2017, arXiv:1706.03762, equation 1.

    w_qk = softmax_k(q_q . k_k / sqrt(d)),   c_q = sum_k w_qk v_k

b batch, h head, q queries, k keys, d features of a query and of a key, c of a value. In causal attention a query sees
the keys up to its own position, and the last query is at the position of the last key: with as many queries as keys
this is the paper's triangle, and a single query after a cache of earlier keys sees them all.

An example: scores of 112 and 96 from 64 features are divided by sqrt(64) = 8.

>>> query, keys = torch.ones(1, 1, 1, 64), torch.tensor([1.75, 1.5])[:, None].expand(1, 1, 2, 64)
>>> (query @ keys.mT).flatten()
tensor([112.,  96.])
>>> dot_product_weights(query, keys).flatten()
tensor([0.8808, 0.1192])
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from saccade.core.masks import masked_softmax

FEW = 8  # with fewer queries plain products are faster than a CPU's fused kernel


def causal_mask(queries: int, keys: int, device: torch.device | None = None) -> Bool[Tensor, "1 1 q k"]:
    """True where a query may see a key: the last query sees all keys, the one before it all but the last, and so on."""
    return torch.ones(1, 1, queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def visible(
    query: Float[Tensor, "b h q d"], keys: Float[Tensor, "b h k d"], mask: Bool[Tensor, "..."] | None, causal: bool
) -> Bool[Tensor, "..."] | None:
    """The mask combined with the causal mask; None if every query sees every key."""
    if not causal or query.shape[2] == 1:
        return mask
    triangle = causal_mask(query.shape[2], keys.shape[2], query.device)
    return triangle if mask is None else mask & triangle


def dot_product_weights(
    query: Float[Tensor, "b h q d"],
    keys: Float[Tensor, "b h k d"],
    mask: Bool[Tensor, "..."] | None = None,
    causal: bool = False,
) -> Float[Tensor, "b h q k"]:
    """The weights w_qk, which the fused kernel does not return. Rows with nothing to attend are zero.

    Args:
        mask: broadcastable to the weights; True = may be attended.
        causal: hide from each query the keys after its position.
    """
    scores = query * query.shape[-1] ** -0.5 @ keys.mT
    return masked_softmax(scores, visible(query, keys, mask, causal))


def scaled_dot_product(
    query: Float[Tensor, "b h q d"],
    keys: Float[Tensor, "b h k d"],
    values: Float[Tensor, "b h k c"],
    mask: Bool[Tensor, "..."] | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> Float[Tensor, "b h q c"]:
    """The contexts c_q, by the fused kernel, or for few queries on a CPU by plain products. Rows with nothing to attend
    are zero.

    Args:
        mask: broadcastable to the weights; True = may be attended.
        causal: hide from each query the keys after its position.
        dropout: share of the weights dropped. On a CPU the fused kernel requires 0.
    """
    if query.device.type == "cpu" and query.shape[2] <= FEW:
        weights = dot_product_weights(query, keys, mask, causal)
        return (F.dropout(weights, dropout) if dropout else weights) @ values
    scale, features, wanted = query.shape[-1] ** -0.5, query.shape[-1], values.shape[-1]
    if features != wanted:  # the fused kernel needs equal widths; zero features do not change the products
        query, keys, values = (F.pad(x, (0, max(features, wanted) - x.shape[-1])) for x in (query, keys, values))
    # an `if`, since with dynamic shapes under torch.compile a comparison of sizes is not a plain bool
    if causal and mask is None and query.shape[2] == keys.shape[2]:
        allowed, triangle = None, True
    else:
        allowed, triangle = visible(query, keys, mask, causal), False
    if allowed is None:
        contexts = F.scaled_dot_product_attention(query, keys, values, None, dropout, is_causal=triangle, scale=scale)
        return contexts[..., :wanted]
    # not every kernel returns zeros for an empty row, so such a row sees all keys and its context is zeroed
    empty = ~allowed.any(-1, keepdim=True)
    contexts = F.scaled_dot_product_attention(query, keys, values, allowed | empty, dropout, scale=scale)
    return contexts.masked_fill(empty, 0.0)[..., :wanted]
