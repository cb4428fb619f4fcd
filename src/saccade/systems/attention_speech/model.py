"""Attention-based recognition of speech. Chorowski, Bahdanau, Serdyuk, Cho & Bengio 2015, arXiv:1506.07503, section 2.

h = bidirectional recurrent layers over the features of a recording
c_i = sum_t w_it h_t                                       w from content, location, or both
y_i ~ p(y | s_{i-1}, y_{i-1}, c_i)                         the decoder of RNNsearch

CTC on the same h, which is monotonic, may be trained jointly (Kim, Hori & Watanabe 2017, arXiv:1609.06773, equation
10): loss = lambda L_ctc + (1 - lambda) L_attention.
"""

from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from saccade.core.config import Parts, Size, config
from saccade.nets.attention_choice import Dot
from saccade.nets.attention_decoder import AttentionDecoder, AttentionDecoderConfig, SearchState
from saccade.nets.choices import ChosenProjection
from saccade.nets.projection import Projection
from saccade.nets.recurrent_encoder import Encoded
from saccade.nets.stacked_encoder import StackedEncoder


@config
class AttentionSpeechConfig(AttentionDecoderConfig):
    """Sizes of the network."""

    layers: Parts = 2
    """Bidirectional layers of the encoder."""
    encoder_size: Size = 128
    """Units of each direction of a layer of the encoder. With dot attention they are half of hidden_size instead, so
    that annotations have the size of the decoder's state."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout rate of the outputs of layers, of embeddings and of readout units."""
    ctc_weight: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Weight of CTC in the loss, lambda; 0: attention only."""

    @model_validator(mode="after")
    def check_sizes(self) -> "AttentionSpeechConfig":
        if isinstance(self.attention, Dot) and self.hidden_size % 2:
            raise ValueError(f"with dot attention, hidden-size must be even, not {self.hidden_size}")
        return self

    @property
    def units(self) -> int:
        """Units of each direction of a layer of the encoder, as built."""
        return self.hidden_size // 2 if isinstance(self.attention, Dot) else self.encoder_size


class AttentionSpeech(nn.Module):
    """Transcribes a recording, with a context from attention for each label (Chorowski et al. 2015)."""

    def __init__(self, config: AttentionSpeechConfig, features: int, symbols: int) -> None:
        super().__init__()
        self.encoder = StackedEncoder(features, config.units, config.layers, config.dropout)
        size = self.encoder.output_size
        self.decoder = AttentionDecoder(config, symbols, size, config.units, config.dropout)
        self.ctc_weight = config.ctc_weight
        self.ctc = nn.Linear(size, symbols) if config.ctc_weight else None

    def encode(self, features: Float[Tensor, "b t f"], mask: Bool[Tensor, "b t"]) -> Encoded:
        """Annotations. The mask is True at the steps of each recording."""
        encoded: Encoded = self.encoder(features.to(self.decoder.initial.weight.dtype), mask)
        return encoded

    def start(self, encoded: Encoded) -> SearchState:
        return self.decoder.start(encoded.annotations, encoded.mask, encoded.final[:, -1])

    def step(self, tokens: Int[Tensor, " n"], state: SearchState) -> tuple[Float[Tensor, "n v"], SearchState]:
        """Log-probabilities of the next label, after this one."""
        projection, state = self.decoder.project(tokens, state)
        return projection.log_probs(), state

    def decode(self, encoded: Encoded, target_inputs: Int[Tensor, "b u"]) -> Projection | ChosenProjection:
        """Logits (b, u, v) of each next label, given those before it."""
        predicted: Projection | ChosenProjection = self.decoder(target_inputs, self.start(encoded))
        return predicted

    def frame_log_probs(self, encoded: Encoded) -> Float[Tensor, "b t v"]:
        """Log-probabilities of labels and blank at each step, for the loss of CTC."""
        assert self.ctc is not None, "ctc_weight is above 0"
        logits = self.ctc(encoded.annotations)
        log_probs: Tensor = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        return log_probs

    def forward(
        self, features: Float[Tensor, "b t f"], mask: Bool[Tensor, "b t"], target_inputs: Int[Tensor, "b u"]
    ) -> Projection | ChosenProjection:
        return self.decode(self.encode(features, mask), target_inputs)
