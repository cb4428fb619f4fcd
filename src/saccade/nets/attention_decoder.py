"""A recurrent decoder with attention to an encoder. Bahdanau, Cho & Bengio 2015, arXiv:1409.0473, A.2.2.

s_0 = tanh(W_s last)                                      last: the final state of the encoder
c_i = read(s_{i-1}, h)                                    h annotations, one per key; additive attention, or another
s_i = gru(s_{i-1}, [E y_{i-1}; c_i])
p(y_i) = softmax(W_o maxout(U_o s_i + V_o E y_{i-1} + C_o c_i))

In a search it starts from annotations, and then takes one symbol per step.
"""

from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saccade.core.config import Size, config
from saccade.core.state import Constant
from saccade.nets.attention_choice import Additive, Attention, build_attention, build_score_function
from saccade.nets.choices import ChosenProjection, each_choice
from saccade.nets.conditional_decoder import ConditionalDecoder, DecoderState
from saccade.nets.dropout import Dropout
from saccade.nets.input_feeding_decoder import FeedingState, InputFeedingDecoder
from saccade.nets.projection import Projection
from saccade.nets.readout import MaxoutReadout


@config
class AttentionDecoderConfig:
    """Sizes of the decoder, and its attention."""

    attention: Attention = Additive()
    """The mechanism that computes the context; mlp is another name for concat."""
    embedding_size: Size = 256
    """Features of a symbol, m."""
    hidden_size: Size = 256
    """Units of the decoder, n."""
    readout_size: Size = 256
    """Maxout units, l."""
    order: Literal["look-first", "step-first"] = "look-first"
    """The query of the attention: the previous state (look-first; Bahdanau et al. 2015), or the new one, which has read
    the last symbol (step-first; Luong et al. 2015)."""


class SearchState(NamedTuple):
    prepared: Constant
    decoder: DecoderState | FeedingState


class AttentionDecoder(nn.Module):
    """Predict symbols, with attention to the annotations (Bahdanau et al. 2015).

    Args:
        config: sizes and attention.
        symbols: size of the vocabulary.
        annotation_size: features of an annotation.
        final_size: features of the state from which the decoder starts.
        dropout: share of embeddings and readout units dropped in training.
    """

    def __init__(
        self, config: AttentionDecoderConfig, symbols: int, annotation_size: int, final_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        embedding, hidden = config.embedding_size, config.hidden_size
        self.embedding = nn.Embedding(symbols, embedding)
        self.initial = nn.Linear(final_size, hidden)
        attention = build_attention(config.attention, hidden, annotation_size)
        decoder = ConditionalDecoder if config.order == "look-first" else InputFeedingDecoder
        self.recurrent: Any = decoder(attention, embedding, annotation_size, hidden)
        self.readout = MaxoutReadout((hidden, embedding, annotation_size), config.readout_size, symbols, dropout)
        self.order = config.order
        self.score_function = build_score_function(config.attention, hidden)
        self.dropout = Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)

    def start(
        self, annotations: Float[Tensor, "b k a"], mask: Bool[Tensor, "b k"], final: Float[Tensor, "b f"]
    ) -> SearchState:
        """The state before the first symbol."""
        prepared = self.recurrent.mechanism.prepare(annotations, mask)
        hidden = torch.tanh(self.initial(final))
        return SearchState(Constant(prepared), self.recurrent.initial_state(hidden, prepared))

    def project(self, tokens: Int[Tensor, " n"], state: SearchState) -> tuple[Projection, SearchState]:
        """One step: the projection that predicts the symbol after this one, and the new state."""
        embedded = self.embedding(tokens)
        context, decoder = self.recurrent.step(embedded, state.prepared, state.decoder)
        projection = self.readout(decoder.hidden.hidden, embedded, context)
        return projection, SearchState(state.prepared, decoder)

    def forward(self, inputs: Int[Tensor, "b t"], state: SearchState) -> Projection | ChosenProjection:
        """The projection that predicts each next symbol from the earlier ones; with hard attention, given its
        choices."""
        embedded = self.dropout(self.embedding(inputs))
        decoded, _ = self.recurrent(embedded, state.prepared.value, state.decoder)
        projection: Projection = self.readout(decoded.states, embedded, decoded.contexts)
        if self.score_function is None:
            return projection
        asked = decoded.states
        if self.order == "look-first":
            asked = torch.cat([state.decoder.hidden.hidden[:, None], decoded.states[:, :-1]], 1)
        return ChosenProjection(projection, each_choice(decoded.memories), asked, self.score_function)
