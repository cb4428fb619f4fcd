"""RNNsearch. Bahdanau, Cho & Bengio 2015, arXiv:1409.0473, section 3 and A.2.

h_j = [forward h_j; backward h_j]                                annotations of the source
s_0 = tanh(W_s backward h_1)
c_i = sum_j a(s_{i-1}, h_j) h_j                                  additive attention, or another that was chosen
s_i = gru(s_{i-1}, [E y_{i-1}; c_i])
p(y_i) = softmax(W_o maxout(U_o s_i + V_o E y_{i-1} + C_o c_i))
"""

from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from saccade.core.config import config
from saccade.core.projection import Projection
from saccade.core.state import Constant
from saccade.nets.attention_choice import AttentionChoice, build_attention, build_score_function
from saccade.nets.choices import ChosenProjection, each_choice
from saccade.nets.conditional_decoder import ConditionalDecoder, DecoderState
from saccade.nets.dropout import Dropout
from saccade.nets.readout import MaxoutReadout
from saccade.nets.recurrent_encoder import Encoded, RecurrentEncoder


@config
class RNNsearchConfig(AttentionChoice):
    """Sizes of the net."""

    embedding_size: Annotated[int, Field(ge=1)] = 256
    """Features of a symbol, m."""
    hidden_size: Annotated[int, Field(ge=1)] = 256
    """Units of the decoder and of each direction of the encoder, n; for dot, half as many in each of two directions."""
    directions: Literal["both", "forward"] = "both"
    """Those in which the encoder reads; an annotation by the forward one alone knows nothing of what follows."""
    readout_size: Annotated[int, Field(ge=1)] = 256
    """Maxout units, l."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of embeddings, annotations and readout units dropped in training (the paper drops none)."""

    @model_validator(mode="after")
    def check_sizes(self) -> "RNNsearchConfig":
        if self.attention == "dot" and self.directions == "both" and self.hidden_size % 2:
            raise ValueError(
                f"hidden-size is {self.hidden_size}; for a dot product two directions together are as large as the "
                "decoder's state, so it must be even"
            )
        return self

    @property
    def encoder_size(self) -> int:
        """Units of a direction of the encoder: half, where a dot product wants annotations of the state's size."""
        return self.hidden_size // 2 if self.attention == "dot" and self.directions == "both" else self.hidden_size


class SearchState(NamedTuple):
    prepared: Constant
    decoder: DecoderState


class RNNsearch(nn.Module):
    """Translate with a soft search through the annotations of the source (Bahdanau et al. 2015)."""

    def __init__(self, config: RNNsearchConfig, source_symbols: int, target_symbols: int) -> None:
        super().__init__()
        embedding, hidden, size = config.embedding_size, config.hidden_size, config.encoder_size
        annotation = 2 * size if config.directions == "both" else size
        self.source_embedding = nn.Embedding(source_symbols, embedding)
        self.target_embedding = nn.Embedding(target_symbols, embedding)
        self.encoder = RecurrentEncoder(embedding, size, config.directions)
        self.initial = nn.Linear(size, hidden)
        self.decoder = ConditionalDecoder(build_attention(config, hidden, annotation), embedding, annotation, hidden)
        self.readout = MaxoutReadout(
            (hidden, embedding, annotation), config.readout_size, target_symbols, config.dropout
        )
        self.score_function = build_score_function(config, hidden)
        self.dropout = Dropout(config.dropout)
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=embedding**-0.5)

    def encode(self, source: Int[Tensor, "b s"], source_mask: Bool[Tensor, "b s"]) -> Encoded:
        encoded: Encoded = self.encoder(self.dropout(self.source_embedding(source)), source_mask)
        return encoded._replace(annotations=self.dropout(encoded.annotations))

    def start(self, encoded: Encoded) -> SearchState:
        prepared = self.decoder.mechanism.prepare(encoded.annotations, encoded.mask)
        hidden = torch.tanh(self.initial(encoded.final[:, -1]))
        return SearchState(Constant(prepared), self.decoder.initial_state(hidden, prepared))

    def step(self, tokens: Int[Tensor, " b"], state: SearchState) -> tuple[Float[Tensor, "b v"], SearchState]:
        """Log-probabilities of the next symbol, after this one."""
        projection, state = self.project(tokens, state)
        return projection.log_probs(), state

    def project(self, tokens: Int[Tensor, " b"], state: SearchState) -> tuple[Projection, SearchState]:
        """A step whose log-probabilities are not multiplied out."""
        embedded = self.target_embedding(tokens)
        context, decoder = self.decoder.step(embedded, state.prepared.value, state.decoder)
        projection = self.readout(decoder.hidden.hidden, embedded, context)
        return projection, SearchState(state.prepared, decoder)

    def forward(
        self, source: Int[Tensor, "b s"], source_mask: Bool[Tensor, "b s"], target_inputs: Int[Tensor, "b t"]
    ) -> Projection | ChosenProjection:
        """Logits (b, t, v) of each next symbol, given those before it; of hard attention, after its choices."""
        state = self.start(self.encode(source, source_mask))
        embedded = self.dropout(self.target_embedding(target_inputs))
        decoded, _ = self.decoder(embedded, state.prepared.value, state.decoder)
        projection: Projection = self.readout(decoded.states, embedded, decoded.contexts)
        if self.score_function is None:
            return projection
        before = torch.cat([state.decoder.hidden.hidden[:, None], decoded.states[:, :-1]], 1)
        return ChosenProjection(projection, each_choice(decoded.memories), before, self.score_function)
