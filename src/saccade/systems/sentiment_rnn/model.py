"""A recurrent net with attention that classifies a sentence. Yang et al. 2016, section 2.2, equations 5 to 7; Jain &
Wallace 2019, arXiv:1902.10186, section 2.

    h_t = [forward LSTM; backward LSTM] over the words
    w_t = softmax_t(u . tanh(W h_t + b)),   v = sum_t w_t h_t            or the last state, the mean, the maximum
    p(class) = softmax(W v + b)
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import Size, config
from saccade.nets.dropout import Dropout
from saccade.nets.recurrent_stack import RecurrentStack
from saccade.nets.sequence_classifier import SequenceClassifier

Rate = Annotated[float, Field(ge=0, lt=1)]


@config
class SentimentConfig:
    """Sizes of the net."""

    pooling: Literal["attention", "mean", "maximum", "last"] = "attention"
    """How the states of the words become one vector."""
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """The recurrent cell."""
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    """Recurrent layers."""
    embedding_size: Size = 32
    """Features of a word."""
    hidden_size: Size = 32
    """Units of each direction."""
    attention_size: Size = 32
    """Features of the hidden layer of the attention."""
    dropout: Rate = 0.2
    """Dropout rate of the words, between layers and of the vector."""


class SentimentRNN(nn.Module):
    """Logits of the classes of sentences.

    Args:
        config: sizes and pooling.
        symbols: number of words, padding and the unknown word included.
        classes: number of classes.
    """

    def __init__(self, config: SentimentConfig, symbols: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, config.embedding_size, padding_idx=0)
        with torch.no_grad():
            self.embedding.weight.mul_(0.1)
        self.dropout = Dropout(config.dropout)
        self.recurrent = RecurrentStack(
            config.embedding_size, config.hidden_size, cell=config.cell, layers=config.layers, directions="both",
            dropout=config.dropout,
        )  # fmt: skip
        self.classifier = SequenceClassifier(
            2 * config.hidden_size, classes, pooling=config.pooling, width=config.attention_size,
            dropout=config.dropout,
        )  # fmt: skip

    def forward(self, symbols: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b k"]:
        """The logits.

        Args:
            mask: False at padding.
        """
        outputs, state = self.recurrent(self.dropout(self.embedding(symbols)), mask)
        logits: Tensor = self.classifier(outputs, mask, self.recurrent.final(state))
        return logits
