"""Additive attention. Bahdanau, Cho & Bengio 2015, arXiv:1409.0473, section 3.1 and A.1.2.

    e_qk = v . tanh(W s_q + U h_k)
    w_qk = exp(e_qk) / sum_k' exp(e_qk')
    c_q  = sum_k w_qk h_k

s query (the decoder's state before the step), h keys (annotations of the source), b batch, q queries, k keys, a width.
U h does not change from query to query: `prepare` computes it once a sequence.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from saccade.attention.reading import Reading
from saccade.core.errors import InvalidInput
from saccade.core.masks import check_key_mask, masked_softmax, score_mask
from saccade.core.tap import Tap


def additive_scores(
    query: Float[Tensor, "b q a"], key: Float[Tensor, "b k a"], v: Float[Tensor, " a"]
) -> Float[Tensor, "b q k"]:
    """v . tanh(query + key) for every pair, of queries and keys that are already projected to the width."""
    return torch.tanh(query[:, :, None] + key[:, None]) @ v


class Prepared(NamedTuple):
    projected: Float[Tensor, "b k a"]
    values: Float[Tensor, "b k d"]
    mask: Bool[Tensor, "b k"] | None


class AdditiveAttention(nn.Module):
    """Additive attention (Bahdanau et al. 2015, A.1.2).

    Args:
        query_size: features of a query.
        key_size: features of a key.
        width: features of the hidden layer that scores them.
        chunk: the most elements of (b, q, k, a) that `forward` holds at a time; beyond that it works query by query
            and computes the scores anew in the backward pass.

    Raises:
        InvalidInput: a mask that is not bool of shape (b, k), or in `forward` (b, q, k); sizes that do not fit.
    """

    def __init__(self, query_size: int, key_size: int, width: int, chunk: int = 1 << 22) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, width, bias=False)
        self.key = nn.Linear(key_size, width)
        self.v = nn.Parameter(torch.empty(width))
        self.chunk = chunk
        self.weights = Tap("b q k")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.xavier_uniform_(self.key.weight)
        nn.init.zeros_(self.key.bias)
        bound = self.v.numel() ** -0.5
        nn.init.uniform_(self.v, -bound, bound)

    def prepare(
        self,
        keys: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"] | None = None,
        values: Float[Tensor, "b k c"] | None = None,
    ) -> Prepared:
        """Project the keys, once a sequence. Values default to the keys."""
        if keys.shape[-1] != self.key.in_features:
            raise InvalidInput(f"keys must have {self.key.in_features} features, not {keys.shape[-1]}")
        if values is not None and values.shape[:2] != keys.shape[:2]:
            raise InvalidInput(f"values must be {tuple(keys.shape[:2])}, as the keys, not {tuple(values.shape[:2])}")
        check_key_mask(mask, keys)
        return Prepared(self.key(keys), keys if values is None else values, mask)

    def initial_state(self, prepared: Prepared) -> tuple[()]:
        return ()

    def read(self, query: Float[Tensor, "b *q d"], prepared: Prepared, state: tuple[()] = ()) -> Reading:
        """One look by a query (b, d), or by several (b, q, d) that know nothing of each other."""
        single = query.ndim == 2
        queries = query[:, None] if single else query
        weights = self.weights(
            self._weights(queries, prepared, score_mask(prepared.mask, self._shape(queries, prepared)))
        )
        context = weights @ prepared.values
        return Reading(context[:, 0], weights[:, 0], state) if single else Reading(context, weights, state)

    def forward(
        self,
        query: Float[Tensor, "b q d"],
        keys: Float[Tensor, "b k e"],
        mask: Bool[Tensor, "b *qk"] | None = None,
        values: Float[Tensor, "b k c"] | None = None,
    ) -> Float[Tensor, "b q c"]:
        """The contexts of many queries. The mask is (b, k) or (b, q, k)."""
        if query.ndim != 3:
            raise InvalidInput(f"queries must be (batch, queries, features), not {tuple(query.shape)}")
        prepared = self.prepare(keys, None, values)
        weights: Tensor = self.weights(self._weights(query, prepared, score_mask(mask, self._shape(query, prepared))))
        return weights @ prepared.values

    def _shape(self, queries: Tensor, prepared: Prepared) -> tuple[int, int, int]:
        if queries.shape[-1] != self.query.in_features:
            raise InvalidInput(f"queries must have {self.query.in_features} features, not {queries.shape[-1]}")
        batch, size, _ = prepared.projected.shape
        if queries.shape[0] != batch:
            raise InvalidInput(f"there are keys of {batch} sequences, and queries of {queries.shape[0]}")
        return batch, queries.shape[1], size

    def _weights(self, queries: Tensor, prepared: Prepared, mask: Tensor | None) -> Float[Tensor, "b q k"]:
        projected = F.linear(queries, self.query.weight)
        at_once = max(1, self.chunk // max(1, prepared.projected.numel()))
        if projected.shape[1] <= at_once:
            scores = additive_scores(projected, prepared.projected, self.v)
        else:
            parts = projected.split(at_once, dim=1)
            scores = torch.cat([self._checkpointed(part, prepared.projected) for part in parts], dim=1)
        return masked_softmax(scores, mask)

    def _checkpointed(self, projected: Tensor, keys: Tensor) -> Tensor:
        # nothing random within, so no random state need be kept
        scores = checkpoint(additive_scores, projected, keys, self.v, use_reentrant=False, preserve_rng_state=False)
        assert isinstance(scores, Tensor)
        return scores
