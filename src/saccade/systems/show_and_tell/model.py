"""Show and tell, and LRCN: captions from one vector of an image, without attention.

v = mean over the regions of encoder(image)

Vinyals, Toshev, Bengio & Erhan 2015, arXiv:1411.4555, section 3.1: the image is what the LSTM reads first, once
    h_0, c_0 = lstm(W_v v + b, 0),   h_t, c_t = lstm(E y_{t-1}, ...),   p(y_t) = softmax(W h_t)

Donahue et al. 2015, arXiv:1411.4389, section 4.2, two layers, factored: it is what the second layer reads each time
    h_t = lstm_1(E y_{t-1}, ...),   g_t = lstm_2([h_t; W_v v + b], ...),   p(y_t) = softmax(W g_t)
"""

from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import Size, config
from saccade.core.state import Constant
from saccade.memory.lstm import LSTM, LSTMState
from saccade.nets.dropout import Dropout
from saccade.nets.image_encoder import Convolutional, Encoder, build_encoder
from saccade.nets.nearest_caption import NearestCaption
from saccade.nets.projection import Projection
from saccade.tasks.captions import Batch


@config
class ShowAndTellConfig:
    """The encoder and the decoder."""

    encoder: Encoder = Convolutional()
    """What makes the maps, of which the mean is taken."""
    image: Literal["first", "every-step"] = "first"
    """Read the image once, before the first word (Vinyals et al. 2015), or at every step, in a second layer (LRCN;
    Donahue et al. 2015)."""
    embedding_size: Size = 256
    """Features of a word, and of the image as the LSTM reads it."""
    hidden_size: Size = 256
    """Units of each LSTM."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout rate of embeddings and of the features before the logits."""


class TellState(NamedTuple):
    first: LSTMState
    second: LSTMState | None
    """That of the second layer."""
    image: Constant | None
    """What the second layer reads at each step."""


class ShowAndTell(nn.Module):
    """Writes captions from one vector of an image.

    Args:
        config: the sizes.
        symbols: size of the vocabulary.
    """

    def __init__(self, config: ShowAndTellConfig, symbols: int) -> None:
        super().__init__()
        encoder: Any = build_encoder(config.encoder)
        self.nearest: NearestCaption | None = None  # of a frozen encoder: what its features give without a decoder
        self.encoder: Any = encoder
        embedding, hidden = config.embedding_size, config.hidden_size
        self.embedding = nn.Embedding(symbols, embedding)
        self.image = nn.Linear(encoder.channels, embedding)
        self.first = LSTM(embedding, hidden, peepholes=False)
        every = config.image == "every-step"
        self.second = LSTM(hidden + embedding, hidden, peepholes=False) if every else None
        self.output = nn.Linear(hidden, symbols)
        self.dropout = Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)

    def encode(self, batch: Batch) -> Float[Tensor, "b c"]:
        """The mean over the regions; 0 of captions without images."""
        dtype = self.output.weight.dtype
        if not len(batch.pixels):
            return torch.zeros(len(batch.tokens), self.encoder.channels, dtype=dtype, device=batch.tokens.device)
        mean: Tensor = self.encoder(batch.pixels, batch.keys).to(dtype).mean((2, 3))
        return mean

    def start(self, encoded: Float[Tensor, "b c"]) -> TellState:
        """The state before the first word."""
        image, nothing = self.dropout(self.image(encoded)), self.first.initial_state(len(encoded))
        if self.second is None:
            return TellState(self.first.step(image, nothing)[1], None, None)
        return TellState(nothing, self.second.initial_state(len(encoded)), Constant((image,)))

    def step(self, tokens: Int[Tensor, " n"], state: TellState) -> tuple[Float[Tensor, "n v"], TellState]:
        """Log-probabilities of the next word, after this one."""
        projection, state = self.project(tokens, state)
        return projection.log_probs(), state

    def project(self, tokens: Int[Tensor, " n"], state: TellState) -> tuple[Projection, TellState]:
        """The same as `step`, with the log-probabilities as a `Projection`."""
        output, first = self.first.step(self.embedding(tokens), state.first)
        second = state.second
        if self.second is not None and state.image is not None and second is not None:
            (image,) = state.image.spread(len(tokens))
            output, second = self.second.step(torch.cat([output, image], -1), second)
        return Projection(output, self.output.weight, self.output.bias), TellState(first, second, state.image)

    def forward(self, batch: Batch) -> Projection:
        """What predicts each word after those before it."""
        state = self.start(self.encode(batch))
        outputs, _ = self.first(self.dropout(self.embedding(batch.tokens[:, :-1])), state.first)
        if self.second is not None and state.image is not None:
            (image,) = state.image.value
            image = image[:, None].expand(-1, outputs.shape[1], -1)
            outputs, _ = self.second(torch.cat([outputs, image], -1), state.second)
        return Projection(self.dropout(outputs), self.output.weight, self.output.bias)
