"""From the states of a recurrent net to classes: the last state, their mean, their maximum, or attention.

    last       v = [forward state after x_T; backward state after x_1]
    mean       v = 1/T sum_t h_t
    maximum    v_k = max_t h_t,k                              Collobert & Weston 2008
    attention  v = sum_t w_t h_t,  w = softmax_t(u . tanh(W h_t + b))        Yang et al. 2016, equations 5 to 7

    logits = W v + b

h_t the output at position t. The attention is Bahdanau's with one learned query, the same for all sequences.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.attention.additive import AdditiveAttention
from saccade.core.errors import InvalidInput
from saccade.core.masks import check_key_mask
from saccade.nets.dropout import Dropout

Pooling = Literal["attention", "mean", "maximum", "last"]
POOLINGS = ("attention", "mean", "maximum", "last")


class Pooled(NamedTuple):
    vector: Float[Tensor, "b d"]
    weights: Float[Tensor, "b t"] | None
    """The weights of attention; None without."""


class SequenceClassifier(nn.Module):
    """Logits of classes from the outputs of a recurrent net.

    Args:
        size: features of the outputs, and of the final state.
        classes: number of classes.
        pooling: "attention", "mean", "maximum" or "last".
        width: features of the hidden layer of the attention, by default `size`.
        dropout: rate of the pooled features.

    Raises:
        InvalidInput: another pooling; outputs of another size; a mask that is not bool of shape (b, t).
    """

    def __init__(
        self, size: int, classes: int, *, pooling: Pooling = "attention", width: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise InvalidInput(f"pooling must be one of {', '.join(POOLINGS)}, not {pooling!r}")
        self.size, self.pooling = size, pooling
        self.attention: AdditiveAttention | None = None
        if pooling == "attention":
            width = width or size
            self.attention = AdditiveAttention(width, size, width)
            self.query = nn.Parameter(torch.empty(width).normal_(std=width**-0.5))
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(size, classes)

    def forward(
        self, outputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"], final: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b k"]:
        """The logits.

        Args:
            outputs: the net's outputs.
            mask: True at the positions of a sequence. A sequence without any has the vector 0, but for its final state.
            final: the state after the last input, `RecurrentStack.final`; only "last" reads it.
        """
        logits: Tensor = self.output(self.dropout(self.pool(outputs, mask, final).vector))
        return logits

    def pool(self, outputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"], final: Float[Tensor, "b d"]) -> Pooled:
        """The vector of each sequence."""
        if outputs.shape[-1] != self.size:
            raise InvalidInput(f"outputs must have {self.size} features, not {outputs.shape[-1]}")
        check_key_mask(mask, outputs)
        if self.pooling == "last":
            return Pooled(final, None)
        if self.attention is not None:
            query = self.query.expand(len(outputs), -1)
            reading = self.attention.read(query, self.attention.prepare(outputs, mask))
            return Pooled(reading.context, reading.weights)
        padding = ~mask[:, :, None]
        if self.pooling == "mean":
            return Pooled(outputs.masked_fill(padding, 0.0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1), None)
        least = torch.finfo(outputs.dtype).min
        largest = outputs.masked_fill(padding, least).amax(1) if outputs.shape[1] else outputs.sum(1)
        return Pooled(largest.masked_fill(~mask.any(1, keepdim=True), 0.0), None)
