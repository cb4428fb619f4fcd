"""A hierarchical recurrent encoder-decoder. Serban et al. 2016, arXiv:1507.04808, section "Models"; Sordoni et al.
2015, arXiv:1507.02221, section 3.

    u_m = the last state of GRU_e over the words of turn m                          (forward, or both directions)
    c_m = GRU_c(u_m, c_{m-1}),   c_0 = 0                                            over turns
    d_{m,0} = tanh(D c_{m-1} + b),   d_{m,n} = GRU_d([w_{m,n}; c_{m-1}], d_{m,n-1})
    p(w_{m,n+1} | w_{m,<=n}, turns < m) = softmax(O (H d_{m,n} + E w_{m,n}) + o)

w the embedding of a word. Every turn is a target, the first one from c_0.
"""

from collections.abc import Iterator
from typing import Annotated, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import Size, config
from saccade.nets.dropout import Dropout
from saccade.nets.projection import Projection
from saccade.nets.recurrent_stack import RecurrentStack, StackState
from saccade.tasks.dialogue import END, PAD, START, UNKNOWN

GROUPS = 4  # of turns of like length, so that a short one is not padded to the longest
Rate = Annotated[float, Field(ge=0, lt=1)]


@config
class HREDConfig:
    """Sizes of the net."""

    context: bool = True
    """Whether the turns before are read; without them each turn is predicted alone, by the same decoder."""
    bidirectional: bool = True
    """Whether the words of a turn are read in both directions."""
    every: bool = True
    """Whether the decoder reads the context at every word, not only at first."""
    embedding_size: Size = 128
    """Features of a word."""
    turn_size: Size = 96
    """Units of each direction over the words of a turn."""
    context_size: Size = 128
    """Units over turns."""
    decoder_size: Size = 256
    """Units of the decoder."""
    dropout: Rate = 0.4
    """Dropout rate of words, of turns, of contexts and before the output."""
    without: Rate = 0.25
    """Share of turns that are predicted without their context in training, so that the same weights can do both."""


class WritingState(NamedTuple):
    """The state of the decoder, and the context."""

    decoder: StackState
    context: Float[Tensor, "b c"]


class HRED(nn.Module):
    """Nats of turns, and the words of the next one.

    Args:
        config: sizes.
        symbols: number of words, the special ones included.
    """

    def __init__(self, config: HREDConfig, symbols: int) -> None:
        super().__init__()
        self.config, size = config, config.embedding_size
        self.embedding = nn.Embedding(symbols, size, padding_idx=PAD)
        with torch.no_grad():
            self.embedding.weight.mul_(size**-0.5)  # it is the output matrix, too
        self.dropout = Dropout(config.dropout)
        if config.context:
            directions = "both" if config.bidirectional else "forward"
            self.turn = RecurrentStack(size, config.turn_size, cell="gru", directions=directions)  # type: ignore[arg-type]
            self.context = RecurrentStack(self.turn.output_size, config.context_size, cell="gru")
        self.initial = nn.Linear(config.context_size, config.decoder_size)
        read = size + config.context_size if config.every else size
        self.decoder = RecurrentStack(read, config.decoder_size, cell="gru")
        self.hidden = nn.Linear(config.decoder_size, size)
        self.last = nn.Linear(size, size, bias=False)
        self.bias = nn.Parameter(torch.zeros(symbols))

    def encode(self, turns: Int[Tensor, "n t"]) -> Float[Tensor, "n e"]:
        """The vector of each turn, from its words without start and end."""
        words = turns[:, 1:]
        mask = (words != PAD) & (words != END)
        found = self.embedding.weight.new_zeros(len(turns), self.turn.output_size)
        for rows, longest in by_length(mask.sum(1)):
            _, state = self.turn(self.dropout(self.embedding(words[rows, :longest])), mask[rows, :longest])
            found = found.index_copy(0, rows, self.turn.final(state).to(found.dtype))
        return found

    def contexts(self, turns: Int[Tensor, "b m t"]) -> Float[Tensor, "b k c"]:
        """The context before each turn of each dialogue and after the last one: k = m + 1. Those after a dialogue's
        end repeat its last one."""
        batch, most, _ = turns.shape
        if not self.config.context:
            return self.embedding.weight.new_zeros(batch, most + 1, self.config.context_size)
        there = turns[:, :, 0] == START
        vectors = self.embedding.weight.new_zeros(batch, most, self.turn.output_size)
        vectors = vectors.masked_scatter(there[..., None], self.encode(turns[there]))
        return self.over_turns(vectors, there)

    def over_turns(self, vectors: Float[Tensor, "b m e"], there: Bool[Tensor, "b m"]) -> Float[Tensor, "b k c"]:
        """The contexts from the vectors of turns."""
        outputs, _ = self.context(self.dropout(vectors), there)
        first = outputs.new_zeros(len(outputs), 1, outputs.shape[2])
        found = torch.cat([first, outputs], 1)
        last = there.sum(1)[:, None, None].expand(-1, 1, outputs.shape[2])
        inside = torch.cat([there.new_ones(len(there), 1), there], 1)[..., None]
        return torch.where(inside, found, found.gather(1, last))

    def predicted(
        self, turns: Int[Tensor, "n t"], contexts: Float[Tensor, "n c"]
    ) -> Iterator[tuple[Int[Tensor, " r"], Projection, Int[Tensor, "r u"]]]:
        """What predicts the words of turns of like length, given their contexts: their rows, the projection, and the
        words, 0 after the last one."""
        for rows, longest in by_length((turns != PAD).sum(1)):
            own = turns[rows, :longest]
            words = own[:, 1:]
            projection, _ = self.read(own[:, :-1], self.start(contexts[rows]), words != PAD)
            yield rows, projection, words

    def loss(self, turns: Int[Tensor, "n t"], contexts: Float[Tensor, "n c"]) -> Float[Tensor, ""]:
        """Minus the log-probability of all turns together."""
        found = contexts.new_zeros(())
        for _, projection, words in self.predicted(turns, contexts):
            found = found + projection.cross_entropy(words, PAD) * (words != PAD).sum()
        return found

    @torch.no_grad()
    def nats(self, turns: Int[Tensor, "n t"], contexts: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
        """Minus the log-probability of each turn."""
        found = contexts.new_zeros(len(turns), dtype=torch.float64)
        for rows, projection, words in self.predicted(turns, contexts):
            found[rows] = -projection.rewards(words, PAD).double().sum(1)
        return found

    def read(
        self, words: Int[Tensor, "n t"], state: WritingState, mask: Bool[Tensor, "n t"] | None = None
    ) -> tuple[Projection, WritingState]:
        """What predicts the word after each of these, and the state after the last."""
        embedded = self.dropout(self.embedding(words))
        inputs = embedded
        if self.config.every:
            inputs = torch.cat([embedded, state.context[:, None].expand(-1, words.shape[1], -1)], -1)
        outputs, after = self.decoder(inputs, mask, state.decoder)
        features = self.dropout(self.hidden(self.dropout(outputs)) + self.last(embedded))
        return Projection(features, self.embedding.weight, self.bias), WritingState(after, state.context)

    def start(self, contexts: Float[Tensor, "b c"]) -> WritingState:
        contexts = self.dropout(contexts)
        return WritingState(StackState(self.initial(contexts).tanh()[:, None], None), contexts)

    def step(self, tokens: Int[Tensor, " n"], state: WritingState) -> tuple[Float[Tensor, "n v"], WritingState]:
        """Log-probabilities of the next word of a turn; padding, the unknown word and the start are never written."""
        projection, state = self.read(tokens[:, None], state)
        logits = projection.logits()[:, 0]
        logits[:, [PAD, UNKNOWN, START]] = -torch.inf
        return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32)), state


def by_length(lengths: Int[Tensor, " n"]) -> Iterator[tuple[Int[Tensor, " r"], int]]:
    """The rows in groups of like lengths, and the longest of each group."""
    order = lengths.argsort(stable=True)
    for rows in order.chunk(GROUPS):
        if len(rows):
            yield rows, int(lengths[rows[-1]])
