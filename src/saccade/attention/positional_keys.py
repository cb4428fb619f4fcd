"""Additive attention over keys with learned position embeddings.

    e_qk = v . tanh(W s_q + U (h_k + P_k)),   c_q = sum_k w_qk h_k

P is a learned embedding of each source position, as in memory networks (Sukhbaatar et al. 2015, arXiv:1503.08895,
section 4.1, where positions are times). It is added to the keys, not to the values. Masked keys are not counted.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.additive import AdditiveAttention
from saccade.attention.content import CHUNK, Prepared, check_sizes, checked_values
from saccade.core.errors import InvalidInput
from saccade.core.masks import places


class PositionalKeysAttention(AdditiveAttention):
    """Additive attention with a learned position embedding added to each key.

    Args:
        query_size: features of a query.
        key_size: features of a key.
        width: features of the hidden layer that computes the scores.
        longest: number of positions.

    Raises:
        InvalidInput: more keys than positions, masked ones included; as for `AdditiveAttention`.
    """

    def __init__(self, query_size: int, key_size: int, width: int, *, longest: int = 512, chunk: int = CHUNK) -> None:
        super().__init__(query_size, key_size, width, chunk=chunk)
        check_sizes(longest=longest)
        self.positions = nn.Parameter(torch.empty(longest, key_size))
        nn.init.normal_(self.positions, std=key_size**-0.5)

    def prepare(
        self,
        keys: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"] | None = None,
        values: Float[Tensor, "b k c"] | None = None,
    ) -> Prepared:
        """Project the keys with their positions, once per sequence. Values default to the keys."""
        values = checked_values(self.key_size, keys, mask, values)
        if keys.shape[1] > len(self.positions):
            raise InvalidInput(
                f"there are {keys.shape[1]} keys, but only {len(self.positions)} learned positions; "
                "increase longest (--model.positional-keys.longest), or shorten the sequence"
            )
        if mask is None:
            where = self.positions[: keys.shape[1]]
        else:
            place = places(mask, keys.shape[1], keys.device)
            where = F.embedding((place - 1).clamp(min=0), self.positions)
        return Prepared(self.project_key(keys + where), values, mask)
