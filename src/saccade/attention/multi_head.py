"""Multi-head attention. Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.

    head_i = attention(Q W_i^Q, K W_i^K, V W_i^V),   MultiHead(Q, K, V) = [head_1; ...; head_h] W^O

As in the paper, the projections have no biases by default. The three uses of section 3.2.3 are three calls:
`attention(x, x)` in the encoder, `attention(x, x, causal=True)` in the decoder, and `attention(x, memory)` between
them. A decoder that generates step by step calls `prepare` once for the memory, `extend` once per step for its own
past, and `attend`.
"""

import functools
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.attention.dot_product import dot_product_weights, scaled_dot_product
from saccade.attention.reading import Reading
from saccade.core.errors import InvalidInput
from saccade.core.growing import Growing
from saccade.core.masks import check_key_mask, score_mask
from saccade.core.tap import Tap


class Heads(NamedTuple):
    """Projected keys and values of every head, and which keys may be attended."""

    keys: Float[Tensor, "b h k d"]
    values: Float[Tensor, "b h k c"]
    mask: Bool[Tensor, "b k"] | None


class Cache(NamedTuple):
    """Projected keys and values of all earlier positions of a decoder, (b, h, k, d) and (b, h, k, c); they grow."""

    keys: Growing
    values: Growing

    @property
    def heads(self) -> Heads:
        return Heads(self.keys.tensor, self.values.tensor, None)


def attended(
    tap: Tap,
    query: Float[Tensor, "b h q d"],
    prepared: Heads,
    mask: Bool[Tensor, "..."] | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> Float[Tensor, "b h q c"]:
    """The contexts of projected queries. The weights are computed only for a listener of the tap, beside the kernel.

    Args:
        tap: names the weights.
        mask: in addition to that of the keys, (b, k) or (b, h, q, k), where h and q may be 1.
        causal: the last query is at the position of the last key.
        dropout: share of the weights dropped.
    """
    keys, values, own = prepared
    shape = (*query.shape[:3], keys.shape[2])
    masks: list[Any] = [score_mask(each, shape) for each in (mask, own) if each is not None]
    allowed = functools.reduce(torch.logical_and, masks) if masks else None
    if tap.replacing:  # weights are computed only if a listener may replace them
        weights = tap(dot_product_weights(query, keys, allowed, causal))
        return F.dropout(weights, dropout) @ values
    tap.lazy(lambda: dot_product_weights(query, keys, allowed, causal))
    return scaled_dot_product(query, keys, values, allowed, causal, dropout)


class MultiHeadAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2), by the fused kernel.

    Args:
        model_size: features of queries, keys, values and contexts, d_model.
        heads: number of heads, h.
        head_size: features of a query and of a key in a head, d_k; model_size / heads by default.
        value_size: features of a value in a head, d_v; model_size / heads by default.
        bias: whether the four projections have biases.
        dropout: share of the attention weights dropped in training; the paper drops none, and on a CPU the fused kernel
            requires 0.

    Raises:
        InvalidInput: heads that do not divide the width; a mask that is not bool of shape (b, k), or in `forward` (b,
            h, q, k); sizes that do not match.
    """

    def __init__(
        self,
        model_size: int,
        heads: int,
        *,
        head_size: int | None = None,
        value_size: int | None = None,
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(model_size=model_size)
        if min(heads, *(size for size in (head_size, value_size) if size is not None), 1) < 1:
            raise InvalidInput(f"heads and their sizes must be at least 1, not {heads}, {head_size}, {value_size}")
        if model_size % heads and None in (head_size, value_size):
            raise InvalidInput(f"{heads} heads do not divide a width of {model_size}; give head_size and value_size")
        self.heads, self.dropout = heads, dropout
        keys, values = (heads * (model_size // heads if size is None else size) for size in (head_size, value_size))
        self.query = nn.Linear(model_size, keys, bias)
        self.key = nn.Linear(model_size, keys, bias)
        self.value = nn.Linear(model_size, values, bias)
        self.output = nn.Linear(values, model_size, bias)
        self.weights = Tap("b h q k")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for projection in (self.query, self.key, self.value, self.output):
            # the first three are initialised as one matrix, as in torch, so with smaller values, which suits stacks of
            # layers
            nn.init.xavier_uniform_(projection.weight, gain=1.0 if projection is self.output else 2**-0.5)
            if projection.bias is not None:
                nn.init.zeros_(projection.bias)

    def prepare(
        self,
        keys: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"] | None = None,
        values: Float[Tensor, "b k d"] | None = None,
    ) -> Heads:
        """Project the keys and values, once per sequence. Values default to the keys."""
        values = keys if values is None else values
        check_key_mask(mask, keys)
        if values.shape[:2] != keys.shape[:2]:
            raise InvalidInput(f"values must be {tuple(keys.shape[:2])}, as the keys, not {tuple(values.shape[:2])}")
        return Heads(self._split(self.key, keys, "keys"), self._split(self.value, values, "values"), mask)

    def extend(self, past: Cache | None, keys: Float[Tensor, "b k d"]) -> Cache:
        """Append keys to the earlier ones of a decoder that generates step by step."""
        new = self.prepare(keys)
        if past is None:
            return Cache(Growing(new.keys, 2), Growing(new.values, 2))
        return Cache(past.keys.extended(new.keys), past.values.extended(new.values))

    def attend(
        self,
        query: Float[Tensor, "b q d"],
        prepared: Heads,
        mask: Bool[Tensor, "..."] | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "b q d"]:
        """The contexts of many queries, given prepared keys. If causal, the last query is at the position of the last
        key.

        The mask, in addition to that of the keys, is (b, k) or (b, h, q, k), where h and q may be 1.
        """
        return self._attend(self._split(self.query, query, "queries"), prepared, mask, causal)

    def forward(
        self,
        query: Float[Tensor, "b q d"],
        keys: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "..."] | None = None,
        values: Float[Tensor, "b k d"] | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "b q d"]:
        """The contexts of many queries. The mask is (b, k) or (b, h, q, k), where h and q may be 1."""
        return self._attend(self._split(self.query, query, "queries"), self.prepare(keys, None, values), mask, causal)

    def initial_state(self, prepared: Heads) -> tuple[()]:
        return ()

    def read(self, query: Float[Tensor, "b *q d"], prepared: Heads, state: tuple[()] = ()) -> Reading:
        """Read with one query (b, d), or with several independent ones (b, q, d).

        The weights of the reading are the mean over the heads; the tap gets those of each head.
        """
        single = query.ndim == 2
        split = self._split(self.query, query[:, None] if single else query, "queries")
        mask = score_mask(prepared.mask, self._shape(split, prepared))
        weights = self.weights(dot_product_weights(split, prepared.keys, mask))
        dropped = F.dropout(weights, self.dropout, self.training)
        context, mean = self._merge(dropped @ prepared.values), weights.mean(1)
        return Reading(context[:, 0], mean[:, 0], state) if single else Reading(context, mean, state)

    def _attend(
        self, query: Float[Tensor, "b h q _"], prepared: Heads, mask: Tensor | None, causal: bool
    ) -> Float[Tensor, "b q d"]:
        self._shape(query, prepared)
        dropout = self.dropout if self.training else 0.0
        return self._merge(attended(self.weights, query, prepared, mask, causal, dropout))

    def _split(self, projection: nn.Linear, inputs: Tensor, what: str) -> Float[Tensor, "b h t d"]:
        if inputs.ndim != 3:
            raise InvalidInput(f"{what} must be (batch, {what}, features), not {tuple(inputs.shape)}")
        if inputs.shape[-1] != projection.in_features:
            raise InvalidInput(f"{what} must have {projection.in_features} features, not {inputs.shape[-1]}")
        projected: Tensor = projection(inputs)
        return rearrange(projected, "b t (h d) -> b h t d", h=self.heads)

    def _merge(self, contexts: Float[Tensor, "b h q c"]) -> Float[Tensor, "b q d"]:
        merged: Tensor = self.output(rearrange(contexts, "b h q c -> b q (h c)"))
        return merged

    def _shape(self, query: Tensor, prepared: Heads) -> tuple[int, int, int, int]:
        if len(query) != len(prepared.keys):
            raise InvalidInput(f"expected queries of {len(prepared.keys)} sequences, as the keys, not {len(query)}")
        return len(query), self.heads, query.shape[2], prepared.keys.shape[2]
