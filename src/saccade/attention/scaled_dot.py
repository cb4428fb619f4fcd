"""Scaled dot-product attention of one head, for a recurrent decoder. Vaswani et al. 2017, arXiv:1706.03762, equation 1.

    e_qk = (W s_q) . (U h_k) / sqrt(a)               s query, h keys, a features after the projections

If features have mean 0 and variance 1, the product has variance a; dividing by the root keeps the softmax from
saturating. Contexts are means of the unprojected values. `MultiHeadAttention` has several heads and projected values.
"""

from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.content import ContentAttention, check_sizes
from saccade.attention.luong import dot_scores


class ScaledDotAttention(ContentAttention):
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1) of projected queries and keys.

    Args:
        query_size: features of a query.
        key_size: features of a key.
        width: features of projected queries and keys.
    """

    def __init__(self, query_size: int, key_size: int, width: int) -> None:
        super().__init__(query_size, key_size)
        check_sizes(width=width)
        self.query = nn.Linear(query_size, width, bias=False)
        self.key = nn.Linear(key_size, width, bias=False)
        for projection in (self.query, self.key):
            nn.init.xavier_uniform_(projection.weight)

    def project_query(self, query: Float[Tensor, "b q d"]) -> Float[Tensor, "b q a"]:
        projected: Tensor = self.query(query)
        return projected / projected.shape[-1] ** 0.5  # type: ignore[no-any-return]

    def project_key(self, keys: Float[Tensor, "b k d"]) -> Float[Tensor, "b k a"]:
        projected: Tensor = self.key(keys)
        return projected

    def score(self, query: Float[Tensor, "b q a"], key: Float[Tensor, "b k a"]) -> Float[Tensor, "b q k"]:
        return dot_scores(query, key)
