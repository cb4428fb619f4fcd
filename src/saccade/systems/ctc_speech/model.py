"""Bidirectional recurrent networks trained with CTC. Graves, Fernandez, Gomez & Schmidhuber 2006, ICML, section 5.2.

    h_1 = x,   h_{l+1} = [forward gru(h_l); backward gru(h_l)],   y_t = softmax(W h_t + b)

x features of a recording, y_t the distribution over labels and the blank at step t. The paper has one LSTM layer
with 100 cells per direction; here there are several layers of gated recurrent units.
"""

from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import Parts, Size, config
from saccade.core.tap import Tap
from saccade.nets.stacked_encoder import StackedEncoder


@config
class CTCSpeechConfig:
    """Sizes of the network."""

    layers: Parts = 2
    """Bidirectional layers."""
    hidden_size: Size = 128
    """Units of each direction of a layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout rate of the outputs of layers."""


class CTCSpeech(nn.Module):
    """Log-probabilities of labels and blank at each step of a recording (Graves et al. 2006)."""

    def __init__(self, config: CTCSpeechConfig, features: int, symbols: int) -> None:
        super().__init__()
        self.encoder = StackedEncoder(features, config.hidden_size, config.layers, config.dropout)
        self.output = nn.Linear(self.encoder.output_size, symbols)
        self.posteriors = Tap("b v t")
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Float[Tensor, "b t f"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t v"]:
        """Log-probabilities, in float32 at least. The mask is True at the steps of each recording."""
        logits = self.output(self.encoder(features.to(self.output.weight.dtype), mask).annotations)
        log_probs: Tensor = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        self.posteriors.lazy(lambda: log_probs.exp().mT)
        return log_probs
