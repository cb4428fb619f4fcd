"""RNN encoder-decoder. Cho et al. 2014, arXiv:1406.1078, section 2.2 and A; Sutskever et al. 2014, arXiv:1409.3215.

    c = tanh(V h_T)                                                  one vector for the whole source
    s_0 = tanh(V' c)
    s_i = gru(s_{i-1}, [E y_{i-1}; c])                               fed at every step (Cho)
    p(y_i) = softmax(W_o maxout(U_o s_i + V_o E y_{i-1} + C_o c))

With `reverse_source` the source is read from its last word to its first (Sutskever et al. 2014, section 3.3).
"""

from typing import Annotated, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import Size, config
from saccade.core.state import Constant
from saccade.core.tap import Tap
from saccade.memory.gru import GRU, GRUState
from saccade.nets.dropout import Dropout
from saccade.nets.projection import Projection
from saccade.nets.readout import MaxoutReadout
from saccade.nets.recurrent_encoder import RecurrentEncoder


@config
class RNNEncDecConfig:
    """Sizes of the network."""

    embedding_size: Size = 256
    """Features of a symbol."""
    hidden_size: Size = 256
    """Units of the encoder, of the decoder, and of the vector between them."""
    readout_size: Size = 256
    """Maxout units."""
    reverse_source: bool = False
    """Read the source backwards (Sutskever et al. 2014)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout rate of embeddings and readout units (the papers use none)."""


class SearchState(NamedTuple):
    context: Constant
    hidden: GRUState


class RNNEncDec(nn.Module):
    """Translates through one vector of fixed size (Cho et al. 2014)."""

    def __init__(self, config: RNNEncDecConfig, source_symbols: int, target_symbols: int) -> None:
        super().__init__()
        embedding, hidden = config.embedding_size, config.hidden_size
        self.source_embedding = nn.Embedding(source_symbols, embedding)
        self.target_embedding = nn.Embedding(target_symbols, embedding)
        self.encoder = RecurrentEncoder(embedding, hidden, "backward" if config.reverse_source else "forward")
        self.context = nn.Linear(hidden, hidden)
        self.initial = nn.Linear(hidden, hidden)
        self.decoder = GRU(embedding + hidden, hidden)
        self.readout = MaxoutReadout((hidden, embedding, hidden), config.readout_size, target_symbols, config.dropout)
        self.dropout = Dropout(config.dropout)
        self.source = Tap("b s d")
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=embedding**-0.5)

    def encode(self, source: Int[Tensor, "b s"], source_mask: Bool[Tensor, "b s"]) -> Float[Tensor, "b h"]:
        """The one vector."""
        encoded = self.encoder(self.dropout(self.source(self.source_embedding(source))), source_mask)
        return torch.tanh(self.context(encoded.final[:, 0]))

    def start(self, encoded: Float[Tensor, "b h"]) -> SearchState:
        hidden = torch.tanh(self.initial(encoded)).to(self.decoder.bias.dtype)
        return SearchState(Constant(encoded), GRUState(hidden))

    def step(self, tokens: Int[Tensor, " b"], state: SearchState) -> tuple[Float[Tensor, "b v"], SearchState]:
        """Log-probabilities of the next symbol, after this one."""
        projection, state = self.project(tokens, state)
        return projection.log_probs(), state

    def project(self, tokens: Int[Tensor, " b"], state: SearchState) -> tuple[Projection, SearchState]:
        """The same as `step`, with the log-probabilities as a `Projection`."""
        embedded, context = self.target_embedding(tokens), state.context.spread(len(tokens))
        output, hidden = self.decoder.step(torch.cat([embedded, context], -1), state.hidden)
        return self.readout(output, embedded, context), SearchState(state.context, hidden)

    def forward(
        self, source: Int[Tensor, "b s"], source_mask: Bool[Tensor, "b s"], target_inputs: Int[Tensor, "b t"]
    ) -> Projection:
        """Logits (b, t, v) of each next symbol, given those before it."""
        state = self.start(self.encode(source, source_mask))
        embedded = self.dropout(self.target_embedding(target_inputs))
        context = state.context.value[:, None].expand(-1, embedded.shape[1], -1)
        outputs, _ = self.decoder(torch.cat([embedded, context], -1), state.hidden)
        return self.readout(outputs, embedded, context)  # type: ignore[no-any-return]
