"""RNNsearch. Bahdanau, Cho & Bengio 2015, arXiv:1409.0473, section 3 and A.2.

h_j = [forward h_j; backward h_j]                                annotations of the source
s_0 = tanh(W_s backward h_1)
c_i = sum_j a(s_{i-1}, h_j) h_j                                  additive attention, or the chosen one
s_i = gru(s_{i-1}, [E y_{i-1}; c_i])
p(y_i) = softmax(W_o maxout(U_o s_i + V_o E y_{i-1} + C_o c_i))
"""

from typing import Annotated, Literal

from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from saccade.core.config import config
from saccade.core.tap import Tap
from saccade.nets.attention_choice import Dot
from saccade.nets.attention_decoder import AttentionDecoder, AttentionDecoderConfig, SearchState
from saccade.nets.choices import ChosenProjection
from saccade.nets.dropout import Dropout
from saccade.nets.projection import Projection
from saccade.nets.recurrent_encoder import Encoded, RecurrentEncoder


@config
class RNNsearchConfig(AttentionDecoderConfig):
    """Sizes of the network. Each direction of the encoder has hidden_size units; with dot attention both together
    do."""

    directions: Literal["both", "forward"] = "both"
    """Directions of the encoder. With "forward", an annotation does not depend on the words after it."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout rate of embeddings, annotations and readout units (the paper uses none)."""

    @model_validator(mode="after")
    def check_sizes(self) -> "RNNsearchConfig":
        if self.halved and self.hidden_size % 2:
            raise ValueError(
                f"with dot attention, hidden-size counts both directions of the encoder and must be even, not "
                f"{self.hidden_size}"
            )
        return self

    @property
    def halved(self) -> bool:
        """Whether both directions of the encoder together are as large as the decoder's state."""
        return isinstance(self.attention, Dot) and self.directions == "both"

    @property
    def encoder_size(self) -> int:
        """Units of each direction of the encoder."""
        return self.hidden_size // 2 if self.halved else self.hidden_size


class RNNsearch(nn.Module):
    """Translates with a soft search through the annotations of the source (Bahdanau et al. 2015)."""

    def __init__(self, config: RNNsearchConfig, source_symbols: int, target_symbols: int) -> None:
        super().__init__()
        embedding, size = config.embedding_size, config.encoder_size
        annotation = 2 * size if config.directions == "both" else size
        self.embedding = nn.Embedding(source_symbols, embedding)
        self.encoder = RecurrentEncoder(embedding, size, config.directions)
        self.decoder = AttentionDecoder(config, target_symbols, annotation, size, config.dropout)
        self.dropout = Dropout(config.dropout)
        self.source = Tap("b s d")
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)

    def encode(self, source: Int[Tensor, "b s"], source_mask: Bool[Tensor, "b s"]) -> Encoded:
        encoded: Encoded = self.encoder(self.dropout(self.source(self.embedding(source))), source_mask)
        return encoded._replace(annotations=self.dropout(encoded.annotations))

    def start(self, encoded: Encoded) -> SearchState:
        return self.decoder.start(encoded.annotations, encoded.mask, encoded.final[:, -1])

    def step(self, tokens: Int[Tensor, " b"], state: SearchState) -> tuple[Float[Tensor, "b v"], SearchState]:
        """Log-probabilities of the next symbol, after this one."""
        projection, state = self.project(tokens, state)
        return projection.log_probs(), state

    def project(self, tokens: Int[Tensor, " b"], state: SearchState) -> tuple[Projection, SearchState]:
        """The same as `step`, with the log-probabilities as a `Projection`."""
        return self.decoder.project(tokens, state)

    def forward(
        self, source: Int[Tensor, "b s"], source_mask: Bool[Tensor, "b s"], target_inputs: Int[Tensor, "b t"]
    ) -> Projection | ChosenProjection:
        """Logits (b, t, v) of each next symbol, given those before it; with hard attention, given its choices."""
        predicted: Projection | ChosenProjection = self.decoder(
            target_inputs, self.start(self.encode(source, source_mask))
        )
        return predicted
