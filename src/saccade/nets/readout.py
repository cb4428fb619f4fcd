"""Readouts. Maxout: Goodfellow et al. 2013, arXiv:1302.4389; Cho et al. 2014, A.1.2; Bahdanau et al. 2015, A.2.2.

    t~ = sum_n U_n x_n + b,   t_j = max(t~_2j-1, t~_2j),   logits = W t

x_n are the state, the embedding of the last symbol and the context. The state is s_{i-1} in the appendix of Bahdanau
2015 and s_i in its equation 4; the caller decides.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.nets.dropout import Dropout
from saccade.nets.projection import Projection


class MaxoutReadout(nn.Module):
    """Logits over a vocabulary, for all time steps at once.

    Args:
        input_sizes: features of each input, in the order in which `forward` takes them.
        width: maxout units, each the larger of two.
        vocabulary_size: symbols.
        dropout: share of the maxout units dropped in training.
    """

    def __init__(self, input_sizes: tuple[int, ...], width: int, vocabulary_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(sum(input_sizes), 2 * width)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(width, vocabulary_size)

    def forward(self, *inputs: Float[Tensor, "*b _"]) -> Projection:
        pairs = self.hidden(torch.cat(inputs, -1)).unflatten(-1, (-1, 2))
        # the maximum of two slices, since the backward pass of amax is many times slower
        features = self.dropout(torch.maximum(pairs[..., 0], pairs[..., 1]))
        return Projection(features, self.output.weight, self.output.bias)


class DeepOutput(nn.Module):
    """Logits of Xu et al. 2015, arXiv:1502.03044, equation 7: L_o (E y + L_h h + L_z z), for all time steps at once.

    All of it is linear, so the expected logits are the logits of the expected state and context.

    Args:
        embedding_size: features of the embedded last symbol, E y.
        hidden_size: features of the state, h.
        context_size: features of the context, z.
        vocabulary_size: symbols.
        dropout: share of the features before L_o dropped in training.
    """

    def __init__(
        self, embedding_size: int, hidden_size: int, context_size: int, vocabulary_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(hidden_size, embedding_size, bias=False)
        self.context = nn.Linear(context_size, embedding_size, bias=False)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(embedding_size, vocabulary_size)

    def forward(
        self, embedded: Float[Tensor, "*b m"], hidden: Float[Tensor, "*b h"], context: Float[Tensor, "*b c"]
    ) -> Projection:
        features = embedded + self.hidden(hidden) + self.context(context)
        return Projection(self.dropout(features), self.output.weight, self.output.bias)
