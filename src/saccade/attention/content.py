"""Soft attention by content: the code that all score functions share.

    e_qk = score(q, k),   w_qk = exp(e_qk) / sum_k' exp(e_qk'),   c_q = sum_k w_qk v_k

q queries, k keys, b batch. Each query and each key is projected only once.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from saccade.attention.reading import Reading
from saccade.core.errors import InvalidInput
from saccade.core.masks import check_key_mask, masked_softmax, score_mask
from saccade.core.tap import Tap

CHUNK = 1 << 22


class Prepared(NamedTuple):
    projected: Float[Tensor, "b k a"]
    values: Float[Tensor, "b k d"]
    mask: Bool[Tensor, "b k"] | None


def checked_values(
    key_size: int,
    keys: Float[Tensor, "b k d"],
    mask: Bool[Tensor, "b k"] | None,
    values: Float[Tensor, "b k c"] | None,
) -> Float[Tensor, "b k c"]:
    """The values, which default to the keys.

    Raises:
        InvalidInput: keys or values of the wrong rank, keys of the wrong size, values that do not match the keys, a
            mask that is not bool of shape (b, k).
    """
    if keys.ndim != 3:
        raise InvalidInput(f"keys must be (batch, keys, {key_size}), not {tuple(keys.shape)}")
    if keys.shape[-1] != key_size:
        raise InvalidInput(f"keys must have {key_size} features, not {keys.shape[-1]}")
    if values is not None and (values.ndim != 3 or values.shape[:2] != keys.shape[:2]):
        batch, size, _ = keys.shape
        raise InvalidInput(f"values must be ({batch}, {size}, features), as the keys, not {tuple(values.shape)}")
    check_key_mask(mask, keys)
    return keys if values is None else values


def check_sizes(**sizes: int) -> None:
    """Check that all of these are at least 1.

    Raises:
        InvalidInput: naming the one that is not.
    """
    for name, size in sizes.items():
        if size < 1:
            raise InvalidInput(f"{name} must be at least 1, not {size}")


def check_query(query: Tensor, query_size: int, sequences: int) -> None:
    """Check the query of a mechanism whose state depends on earlier reads, which takes one query at a time.

    Raises:
        InvalidInput: anything but one query of this size per sequence.
    """
    if query.ndim != 2:
        raise InvalidInput(f"a read takes one query per sequence, (batch, features), not {tuple(query.shape)}")
    if query.shape[1] != query_size:
        raise InvalidInput(f"queries must have {query_size} features, not {query.shape[1]}")
    if len(query) != sequences:
        raise InvalidInput(f"expected queries of {sequences} sequences, as the keys, not {len(query)}")


class ContentAttention(nn.Module, ABC):
    """The base of mechanisms that score each key independently; a subclass defines `score`, and projections if needed.

    Args:
        query_size: features of a query.
        key_size: features of a key.
        chunk: the most elements that `forward` holds at once for the scores; beyond that it processes the queries in
            parts and recomputes the scores in the backward pass.

    Raises:
        InvalidInput: a mask that is not bool of shape (b, k), or in `forward` (b, q, k); sizes that do not match.
    """

    def __init__(self, query_size: int, key_size: int, *, chunk: int = CHUNK) -> None:
        super().__init__()
        check_sizes(query_size=query_size, key_size=key_size, chunk=chunk)
        self.query_size, self.key_size, self.chunk = query_size, key_size, chunk
        self.weights = Tap("b q k")

    def project_query(self, query: Float[Tensor, "b q d"]) -> Float[Tensor, "b q a"]:
        """Project the queries; by default they are used as they are."""
        return query

    def project_key(self, keys: Float[Tensor, "b k d"]) -> Float[Tensor, "b k a"]:
        """Project the keys; by default they are used as they are."""
        return keys

    @abstractmethod
    def score(self, query: Float[Tensor, "b q a"], key: Float[Tensor, "b k e"]) -> Float[Tensor, "b q k"]:
        """The score of every pair of projected queries and keys."""

    def held(self, projected: Float[Tensor, "b k a"]) -> int:
        """Elements that computing the scores of one query per sequence takes."""
        return projected[..., 0].numel()

    def prepare(
        self,
        keys: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"] | None = None,
        values: Float[Tensor, "b k c"] | None = None,
    ) -> Prepared:
        """Project the keys, once per sequence. Values default to the keys."""
        values = checked_values(self.key_size, keys, mask, values)
        return Prepared(self.project_key(keys), values, mask)

    def initial_state(self, prepared: Prepared) -> tuple[()]:
        return ()

    def read(self, query: Float[Tensor, "b *q d"], prepared: Prepared, state: tuple[()] = ()) -> Reading:
        """Read with one query (b, d), or with several independent ones (b, q, d)."""
        single = query.ndim == 2
        queries = query[:, None] if single else query
        mask = score_mask(prepared.mask, self._shape(queries, prepared))
        weights = self.weights(self.weigh(queries, prepared, mask))
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
        # keys that no query may see can change how the others are prepared
        own = mask if mask is not None and mask.shape == keys.shape[:2] else None
        prepared = self.prepare(keys, own, values)
        allowed = score_mask(mask, self._shape(query, prepared))
        weights: Tensor = self.weights(self.weigh(query, prepared, allowed))
        return weights @ prepared.values

    def weigh(
        self, queries: Float[Tensor, "b q d"], prepared: Prepared, mask: Bool[Tensor, "b #q k"] | None
    ) -> Float[Tensor, "b q k"]:
        """The weights of all keys, for unprojected queries."""
        return masked_softmax(self._scores(queries, prepared), mask)

    def _shape(self, queries: Tensor, prepared: Prepared) -> tuple[int, int, int]:
        if queries.ndim != 3:
            size, got = self.query_size, tuple(queries.shape)
            raise InvalidInput(f"queries must be (batch, {size}) or (batch, queries, {size}), not {got}")
        if queries.shape[-1] != self.query_size:
            raise InvalidInput(f"queries must have {self.query_size} features, not {queries.shape[-1]}")
        batch, size, _ = prepared.projected.shape
        if queries.shape[0] != batch:
            raise InvalidInput(f"expected queries of {batch} sequences, as the keys, not {queries.shape[0]}")
        return batch, queries.shape[1], size

    def _scores(self, queries: Tensor, prepared: Prepared) -> Float[Tensor, "b q k"]:
        projected = self.project_query(queries)
        at_once = max(1, self.chunk // max(1, self.held(prepared.projected)))
        if projected.shape[1] <= at_once:
            return self.score(projected, prepared.projected)
        parts = projected.split(at_once, dim=1)
        return torch.cat([self._checkpointed(part, prepared.projected) for part in parts], dim=1)

    def _checkpointed(self, query: Tensor, keys: Tensor) -> Tensor:
        # nothing in it is random, so no random state need be saved
        scores = checkpoint(self.score, query, keys, use_reentrant=False, preserve_rng_state=False)
        assert isinstance(scores, Tensor)
        return scores
