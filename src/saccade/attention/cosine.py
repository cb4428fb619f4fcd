"""Attention by cosine with a key strength. Graves, Wayne & Danihelka 2014, arXiv:1410.5401, equations 5 and 6.

    u_q = W s_q,   beta_q = softplus(b . s_q + c)
    e_qk = beta_q (u_q . h_k) / (|u_q| |h_k|)        s query, h keys, beta the key strength, larger = sharper

The cosine is between -1 and 1, so with a strength of 0 all weights are equal, and as it grows the softmax selects the
nearest key.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import ContentAttention
from saccade.attention.luong import dot_scores

SMALL = 1e-6  # a shorter vector has no direction: its cosine goes to 0 with its length


def direction(vectors: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """The vectors scaled to length 1."""
    return F.normalize(vectors, dim=-1, eps=SMALL)


def cosine_scores(
    query: Float[Tensor, "b q d"], key: Float[Tensor, "b k d"], strength: Float[Tensor, "b q"]
) -> Float[Tensor, "b q k"]:
    """The strength times the cosine of every pair."""
    return dot_scores(strength[..., None] * direction(query), direction(key))


class CosineAttention(ContentAttention):
    """Content-based addressing (Graves et al. 2014, equations 5 and 6).

    Args:
        query_size: features of a query.
        key_size: features of a key.
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__(query_size, key_size)
        self.query = nn.Linear(query_size, key_size)
        self.strength = nn.Linear(query_size, 1)
        for projection in (self.query, self.strength):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def project_query(self, query: Float[Tensor, "b q d"]) -> Float[Tensor, "b q a"]:
        return F.softplus(self.strength(query)) * direction(self.query(query))

    def project_key(self, keys: Float[Tensor, "b k d"]) -> Float[Tensor, "b k a"]:
        return direction(keys)

    def score(self, query: Float[Tensor, "b q a"], key: Float[Tensor, "b k a"]) -> Float[Tensor, "b q k"]:
        return dot_scores(query, key)
