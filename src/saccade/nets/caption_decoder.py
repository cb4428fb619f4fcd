"""The decoder that looks, attends and tells. Xu et al. 2015, arXiv:1502.03044, sections 3.1.2 and 4.2.1.

    h_0 = tanh(f_h(mean_i a_i)),  c_0 = tanh(f_c(mean_i a_i))   a annotations: one vector for each region of an image
    z_t = beta_t phi(a, alpha_t),  beta_t = sigmoid(f_beta(h_{t-1}))       phi soft or hard attention with h_{t-1}
    h_t, c_t = lstm([E y_{t-1}; z_t], h_{t-1}, c_{t-1})
    p(y_t) = softmax(L_o (E y_{t-1} + L_h h_t + L_z z_t))

That is the order look-first. With step-first the LSTM steps on y_{t-1} and z_{t-1}, and the attention and its gate ask
with h_t, which has read the last word. `nets/attention_decoder.py` is the decoder of Bahdanau et al. 2015: it starts
from a final state, has a gated recurrent unit, no gate and a maxout readout; of the two only the recurrence is common,
and both take it from `AttendingDecoder`.
"""

from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import Size, config
from saccade.core.state import Constant
from saccade.nets.attention_choice import Additive, Attention, build_attention, build_score_function
from saccade.nets.choices import ChosenProjection, each_choice
from saccade.nets.conditional_decoder import ConditionalDecoder, DecoderState
from saccade.nets.context_gate import ContextGate
from saccade.nets.dropout import Dropout
from saccade.nets.input_feeding_decoder import FeedingState, InputFeedingDecoder
from saccade.nets.projection import Projection
from saccade.nets.readout import DeepOutput


@config
class CaptionDecoderConfig:
    """Sizes of the decoder, and its attention."""

    attention: Attention = Additive()
    """The mechanism that computes the context: soft (additive), hard, or another."""
    embedding_size: Size = 256
    """Features of a word, m."""
    hidden_size: Size = 256
    """Units of the LSTM, n."""
    order: Literal["look-first", "step-first"] = "look-first"
    """The query of the attention: the previous state (look-first; Xu et al. 2015), or the new one, which has read the
    last word (step-first)."""
    gate: bool = True
    """Multiply each context by a number from 0 to 1 that the state determines, beta."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout rate of embeddings and of the features before the logits."""
    context_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the steps of training at which the LSTM gets no context. It must then look at an object again to name
    it, and cannot remember its vector."""
    start_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the captions in training whose initial state gets no mean annotation, so that it knows nothing of the
    image before it looks."""


class CaptionState(NamedTuple):
    prepared: Constant
    decoder: DecoderState | FeedingState


class Predictions(NamedTuple):
    """The projection to each next word; at each step the weights of the regions, the state that asked for them, and
    the context (times beta if there is a gate) and the state from which the word is predicted."""

    projection: Projection | ChosenProjection
    weights: Float[Tensor, "b t k"]
    queries: Float[Tensor, "b t h"]
    contexts: Float[Tensor, "b t a"]
    states: Float[Tensor, "b t h"]


class CaptionDecoder(nn.Module):
    """Predict words, with attention to annotations (Xu et al. 2015).

    Args:
        config: sizes and attention.
        symbols: size of the vocabulary.
        annotation_size: features of an annotation.
    """

    def __init__(self, config: CaptionDecoderConfig, symbols: int, annotation_size: int) -> None:
        super().__init__()
        embedding, hidden = config.embedding_size, config.hidden_size
        self.embedding = nn.Embedding(symbols, embedding)
        self.initial_hidden = nn.Linear(annotation_size, hidden)
        self.initial_cell = nn.Linear(annotation_size, hidden)
        attention = build_attention(config.attention, hidden, annotation_size)
        decoder = ConditionalDecoder if config.order == "look-first" else InputFeedingDecoder
        self.recurrent: Any = decoder(
            ContextGate(attention, hidden) if config.gate else attention,
            embedding,
            annotation_size,
            hidden,
            cell="lstm",
            context_dropout=config.context_dropout,
        )
        self.readout = DeepOutput(embedding, hidden, annotation_size, symbols, config.dropout)
        self.score_function = build_score_function(config.attention, hidden)
        self.order, self.start_dropout = config.order, config.start_dropout
        self.dropout = Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)

    def start(self, annotations: Float[Tensor, "b k a"], mask: Bool[Tensor, "b k"] | None = None) -> CaptionState:
        """The state before the first word. Without any region, the mean annotation is 0."""
        prepared = self.recurrent.mechanism.prepare(annotations, mask)
        if mask is None:
            mean = annotations.mean(1)
        else:
            mean = annotations.masked_fill(~mask[..., None], 0.0).sum(1) / mask.sum(1, True).clamp(min=1)
        if self.training and self.start_dropout:
            mean = mean.masked_fill(torch.rand(len(mean), 1, device=mean.device) < self.start_dropout, 0.0)
        hidden, cell = torch.tanh(self.initial_hidden(mean)), torch.tanh(self.initial_cell(mean))
        return CaptionState(Constant(prepared), self.recurrent.initial_state(hidden, prepared, cell))

    def step(self, tokens: Int[Tensor, " n"], state: CaptionState) -> tuple[Float[Tensor, "n v"], CaptionState]:
        """Log-probabilities of the next word, after this one."""
        projection, state = self.project(tokens, state)
        return projection.log_probs(), state

    def project(self, tokens: Int[Tensor, " n"], state: CaptionState) -> tuple[Projection, CaptionState]:
        """The same as `step`, with the log-probabilities as a `Projection`."""
        embedded = self.embedding(tokens)
        context, decoder = self.recurrent.step(embedded, state.prepared, state.decoder)
        return self.readout(embedded, decoder.hidden.hidden, context), CaptionState(state.prepared, decoder)

    def forward(self, inputs: Int[Tensor, "b t"], state: CaptionState) -> Predictions:
        """All steps on known words; with hard attention, given its choices."""
        embedded = self.dropout(self.embedding(inputs))
        decoded, _ = self.recurrent(embedded, state.prepared.value, state.decoder)
        projection: Projection = self.readout(embedded, decoded.states, decoded.contexts)
        weights, asked = torch.stack(decoded.weights, 1), decoded.states
        if self.order == "look-first":
            asked = torch.cat([state.decoder.hidden.hidden[:, None], decoded.states[:, :-1]], 1)
        if self.score_function is None:
            return Predictions(projection, weights, asked, decoded.contexts, decoded.states)
        chosen = ChosenProjection(projection, each_choice(decoded.memories), asked, self.score_function)
        return Predictions(chosen, weights, asked, decoded.contexts, decoded.states)

    @property
    def mechanism(self) -> Any:
        """The attention, without its gate."""
        attention = self.recurrent.attention
        return attention.attention if isinstance(attention, ContextGate) else attention
