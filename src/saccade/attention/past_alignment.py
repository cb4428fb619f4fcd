"""Attention that remembers its past alignments with a recurrent net. Tu et al. 2016, arXiv:1601.04811, section 3.1.2.

    e_tk = v . tanh(W s_t + U h_k + V m_{t-1,k} + b),   w_t = softmax_k(e_t)
    m_tk = gru(m_{t-1,k}, [w_tk; h_k; s_t]),            m_0k = 0

s query, h keys. Each key has its own small memory m of how much it was attended, and when; a gated recurrent unit (Cho
et al. 2014), shared by all keys, updates it. The products with h_k are computed once per sequence.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.attention.additive import tanh_scores
from saccade.attention.content import check_query, check_sizes, checked_values
from saccade.attention.reading import OneQuery, Reading
from saccade.core.masks import masked_softmax
from saccade.core.tap import Tap


class Prepared(NamedTuple):
    """Keys projected for the score, and for the memory's gates and candidate."""

    projected: Float[Tensor, "b k a"]
    gates: Float[Tensor, "b k 3*m"]
    values: Float[Tensor, "b k c"]
    mask: Bool[Tensor, "b k"] | None


class Memory(NamedTuple):
    """The memory of each key."""

    memory: Float[Tensor, "b k m"]


class PastAlignmentAttention(OneQuery):
    """Additive attention with a memory per key of how it was attended (Tu et al. 2016, neural coverage).

    Args:
        query_size: features of a query.
        key_size: features of a key.
        width: features of the hidden layer that computes the scores.
        memory_size: features of a key's memory.

    Raises:
        InvalidInput: a mask that is not bool of shape (b, k); sizes that do not match.
    """

    def __init__(self, query_size: int, key_size: int, width: int, *, memory_size: int = 10) -> None:
        super().__init__()
        check_sizes(query_size=query_size, key_size=key_size, width=width, memory_size=memory_size)
        self.key_size = key_size
        self.query = nn.Linear(query_size, width, bias=False)
        self.key = nn.Linear(key_size, width)
        self.past = nn.Linear(memory_size, width, bias=False)
        self.v = nn.Parameter(torch.empty(width))
        self.key_gates = nn.Linear(key_size, 3 * memory_size)
        self.query_gates = nn.Linear(query_size, 3 * memory_size, bias=False)
        self.weight_gates = nn.Parameter(torch.empty(3 * memory_size))
        self.memory_gates = nn.Linear(memory_size, 2 * memory_size, bias=False)
        self.memory_candidate = nn.Linear(memory_size, memory_size, bias=False)
        self.weights = Tap("b q k")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.query, self.key, self.past, self.key_gates, self.query_gates):
            nn.init.xavier_uniform_(layer.weight)
        for block in (*self.memory_gates.weight.chunk(2), self.memory_candidate.weight):
            nn.init.orthogonal_(block)
        nn.init.zeros_(self.key.bias)
        nn.init.zeros_(self.key_gates.bias)
        nn.init.normal_(self.weight_gates)
        bound = self.v.numel() ** -0.5
        nn.init.uniform_(self.v, -bound, bound)

    def prepare(
        self,
        keys: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"] | None = None,
        values: Float[Tensor, "b k c"] | None = None,
    ) -> Prepared:
        """Project the keys, once per sequence. Values default to the keys."""
        values = checked_values(self.key_size, keys, mask, values)
        return Prepared(self.key(keys), self.key_gates(keys), values, mask)

    def initial_state(self, prepared: Prepared) -> Memory:
        size = self.memory_candidate.out_features
        return Memory(prepared.values.new_zeros(*prepared.values.shape[:2], size))

    def read(self, query: Float[Tensor, "b d"], prepared: Prepared, state: Memory) -> Reading:
        """Read with one query, from the state after the last read.

        Raises:
            InvalidInput: several queries per sequence; sizes that do not match.
        """
        check_query(query, self.query.in_features, len(prepared.values))
        hidden = self.past(state.memory) + prepared.projected
        scores = tanh_scores(hidden.add_(self.query(query)[:, None]), self.v)
        weights = self.weights(masked_softmax(scores, prepared.mask)[:, None])[:, 0]
        context = torch.bmm(weights[:, None], prepared.values)[:, 0]
        return Reading(context, weights, Memory(self._remember(query, weights, prepared, state.memory)))

    def _remember(
        self, query: Tensor, weights: Tensor, prepared: Prepared, memory: Float[Tensor, "b k m"]
    ) -> Float[Tensor, "b k m"]:
        inputs = prepared.gates + self.query_gates(query)[:, None] + weights[..., None] * self.weight_gates
        size = memory.shape[-1]
        gates, candidate = inputs.split([2 * size, size], -1)
        reset, update = torch.sigmoid(gates + self.memory_gates(memory)).chunk(2, -1)
        candidate = torch.tanh(candidate + self.memory_candidate(reset * memory))
        # under autocast the products are bfloat16, the memory is not
        return torch.lerp(candidate.to(memory.dtype), memory, update.to(memory.dtype))
