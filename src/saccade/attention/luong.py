"""Dot, bilinear and concat attention. Luong, Pham & Manning 2015, arXiv:1508.04025, section 3.1.

    dot      e_qk = s_q . h_k                        no parameters; s and h have the same size
    bilinear e_qk = s_q^T W h_k                      "general" in the paper
    concat   e_qk = v . tanh(W [s_q; h_k])           also as a perceptron, w_2 . tanh(W_1 [q; k])

s query, h keys. W [s; h] is W_s s + W_h h, so concat is additive attention without a bias. The paper's query is the
decoder's state after the step, that of Bahdanau et al. 2015 the state before it; the decoder decides which.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.additive import additive_scores
from saccade.attention.content import CHUNK, ContentAttention, check_sizes


def dot_scores(query: Float[Tensor, "b q d"], key: Float[Tensor, "b k d"]) -> Float[Tensor, "b q k"]:
    """query . key for every pair."""
    return query @ key.mT


class DotAttention(ContentAttention):
    """Dot-product attention (Luong et al. 2015, "dot").

    Args:
        model_size: features of a query and of a key.
    """

    def __init__(self, model_size: int) -> None:
        check_sizes(model_size=model_size)
        super().__init__(model_size, model_size)

    def score(self, query: Float[Tensor, "b q d"], key: Float[Tensor, "b k d"]) -> Float[Tensor, "b q k"]:
        return dot_scores(query, key)


class BilinearAttention(ContentAttention):
    """Bilinear attention (Luong et al. 2015, "general").

    Args:
        query_size: features of a query.
        key_size: features of a key.
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__(query_size, key_size)
        self.key = nn.Linear(key_size, query_size, bias=False)
        nn.init.xavier_uniform_(self.key.weight)

    def project_key(self, keys: Float[Tensor, "b k d"]) -> Float[Tensor, "b k a"]:
        projected: Tensor = self.key(keys)
        return projected

    def score(self, query: Float[Tensor, "b q d"], key: Float[Tensor, "b k d"]) -> Float[Tensor, "b q k"]:
        return dot_scores(query, key)


class ConcatAttention(ContentAttention):
    """Concat attention (Luong et al. 2015, "concat"): a multi-layer perceptron on query and key.

    Args:
        query_size: features of a query.
        key_size: features of a key.
        width: features of its hidden layer.
        chunk: the most elements of (b, q, k, a) that `forward` holds at once.
    """

    def __init__(self, query_size: int, key_size: int, width: int, *, chunk: int = CHUNK) -> None:
        super().__init__(query_size, key_size, chunk=chunk)
        check_sizes(width=width)
        self.hidden = nn.Linear(query_size + key_size, width, bias=False)
        self.v = nn.Parameter(torch.empty(width))
        nn.init.xavier_uniform_(self.hidden.weight)
        nn.init.uniform_(self.v, -(width**-0.5), width**-0.5)

    def project_query(self, query: Float[Tensor, "b q d"]) -> Float[Tensor, "b q a"]:
        return F.linear(query, self.hidden.weight[:, : self.query_size])

    def project_key(self, keys: Float[Tensor, "b k d"]) -> Float[Tensor, "b k a"]:
        return F.linear(keys, self.hidden.weight[:, self.query_size :])

    def score(self, query: Float[Tensor, "b q a"], key: Float[Tensor, "b k a"]) -> Float[Tensor, "b q k"]:
        return additive_scores(query, key, self.v)

    def held(self, projected: Float[Tensor, "b k a"]) -> int:
        return projected.numel()
