"""Additive attention over keys that know their place. One learned embedding a source position is added to each key.

    e_qk = v . tanh(W s_q + U (h_k + P_k)),   c_q = sum_k w_qk h_k

As in memory networks (Sukhbaatar et al. 2015, arXiv:1503.08895, section
4.1, where it stands for time). Only where a key stands is added, and not to the values.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.additive import AdditiveAttention
from saccade.attention.content import CHUNK
from saccade.core.errors import InvalidInput


class PositionalKeysAttention(AdditiveAttention):
    """Additive attention with a learned embedding a position added to the keys.

    Args:
        query_size: features of a query.
        key_size: features of a key.
        width: features of the hidden layer that scores them.
        longest: positions that there are.

    Raises:
        InvalidInput: more keys than positions.
    """

    def __init__(self, query_size: int, key_size: int, width: int, longest: int = 512, chunk: int = CHUNK) -> None:
        super().__init__(query_size, key_size, width, chunk)
        self.positions = nn.Parameter(torch.empty(longest, key_size))
        nn.init.normal_(self.positions, std=key_size**-0.5)

    def project_key(self, keys: Float[Tensor, "b k d"]) -> Float[Tensor, "b k a"]:
        if keys.shape[1] > len(self.positions):
            raise InvalidInput(
                f"there are {keys.shape[1]} keys, and learned positions for {len(self.positions)}; "
                "make longest (--model.positional-keys.longest) as large, or cut what is longer"
            )
        return super().project_key(keys + self.positions[: keys.shape[1]])
