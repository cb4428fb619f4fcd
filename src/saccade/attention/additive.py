"""Additive attention. Bahdanau, Cho & Bengio 2015, arXiv:1409.0473, section 3.1 and A.1.2.

    e_qk = v . tanh(W s_q + U h_k)
    w_qk = exp(e_qk) / sum_k' exp(e_qk')
    c_q  = sum_k w_qk h_k

s query (the decoder's state before the step), h keys (annotations of the source), b batch, q queries, k keys, a width.
U h is the same for every query, so `prepare` computes it once per sequence.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import CHUNK, ContentAttention, check_sizes


def additive_scores(
    query: Float[Tensor, "b q a"], key: Float[Tensor, "b k a"], v: Float[Tensor, " a"]
) -> Float[Tensor, "b q k"]:
    """v . tanh(query + key) for every pair of projected queries and keys."""
    return tanh_scores(query[:, :, None] + key[:, None], v)


def tanh_scores(hidden: Float[Tensor, "*b a"], v: Float[Tensor, " a"]) -> Float[Tensor, "*b"]:
    """v . tanh(hidden). `hidden`, by far the largest tensor here, is overwritten."""
    if hidden.dtype in (torch.bfloat16, torch.float16):  # bfloat16 is too coarse for the difference below
        return hidden.tanh_() @ v
    # tanh x = 2 sigmoid(2x) - 1; on a CPU a sigmoid is several times faster than a tanh
    return 2 * (hidden.mul_(2).sigmoid_() @ v - (v / 2).sum())


class AdditiveAttention(ContentAttention):
    """Additive attention (Bahdanau et al. 2015, A.1.2).

    Args:
        query_size: features of a query.
        key_size: features of a key.
        width: features of the hidden layer that computes the scores.
        chunk: the most elements of (b, q, k, a) that `forward` holds at once; beyond that it processes the queries in
            parts and recomputes the scores in the backward pass.

    Raises:
        InvalidInput: a mask that is not bool of shape (b, k), or in `forward` (b, q, k); sizes that do not match.
    """

    def __init__(self, query_size: int, key_size: int, width: int, *, chunk: int = CHUNK) -> None:
        super().__init__(query_size, key_size, chunk=chunk)
        check_sizes(width=width)
        self.query = nn.Linear(query_size, width, bias=False)
        self.key = nn.Linear(key_size, width)
        self.v = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.xavier_uniform_(self.key.weight)
        nn.init.zeros_(self.key.bias)
        bound = self.v.numel() ** -0.5
        nn.init.uniform_(self.v, -bound, bound)

    def project_query(self, query: Float[Tensor, "b q d"]) -> Float[Tensor, "b q a"]:
        return F.linear(query, self.query.weight)

    def project_key(self, keys: Float[Tensor, "b k d"]) -> Float[Tensor, "b k a"]:
        projected: Tensor = self.key(keys)
        return projected

    def score(self, query: Float[Tensor, "b q a"], key: Float[Tensor, "b k a"]) -> Float[Tensor, "b q k"]:
        return additive_scores(query, key, self.v)

    def held(self, projected: Float[Tensor, "b k a"]) -> int:
        return projected.numel()
