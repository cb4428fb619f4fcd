"""Dynamic memory network. Kumar et al. 2016, arXiv:1506.07285, section 2; DMN+: Xiong, Merity & Socher 2016,
arXiv:1603.01417, section 3.

    q     = the last state of GRU(words of the question)
    DMN   c_i = the state of GRU(all words of the story) after the last word of sentence i
          z   = [c, m, q, c*q, c*m, |c - q|, |c - m|, c W q, c W m],   g_i = sigmoid(W2 tanh(W1 z + b1) + b2)
          h_i = g_i GRU(c_i, h_(i-1)) + (1 - g_i) h_(i-1),   e = h_n          m' = GRU(e, m)
          a^  = softmax(W GRU([0, q], m))                                      an answer of one symbol
    DMN+  f_i = sentence with position encoding,   c_i = GRU(f)_i + GRU(f backward)_i      input fusion
          z   = [c*q, c*m, |c - q|, |c - m|],   g = softmax_i(W2 tanh(W1 z + b1) + b2)
          r_i = sigmoid(W_r c_i + U_r h_(i-1) + b_r)                     attention GRU: the gate g_i takes the place
          h~  = tanh(W c_i + r_i * U h_(i-1) + b)                        of the update gate
          h_i = g_i h~ + (1 - g_i) h_(i-1),   e = h_n          m' = relu(W_t [m, e, q] + b_t)
          a^  = softmax(W [q, m])

m is q at first; there are several passes over the sentences. b batch, n sentences, w words, v symbols, d width.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.core.masks import masked_softmax
from saccade.core.tap import Tap
from saccade.memory.gru import GRU, Projected, Recurrent, gru_step
from saccade.memory.sentences import padded, sentence_vectors, story_mask

Kind = Literal["dmn+", "dmn"]


class AttentionGRU(nn.Module):
    """A gated recurrent unit whose update gate is an attention weight (DMN+, section 3.3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input = nn.Linear(width, 2 * width)
        self.recurrent = nn.Linear(width, 2 * width, bias=False)
        for block in self.recurrent.weight.chunk(2):
            nn.init.orthogonal_(block)

    def project(self, facts: Float[Tensor, "b n d"]) -> Float[Tensor, "b n e"]:
        """W_r c + b_r and W c + b, which do not change from pass to pass."""
        projected: Tensor = self.input(facts)
        return projected

    def forward(self, projected: Float[Tensor, "b n e"], gates: Float[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        """The last state. A gate of 0 keeps the state exactly."""
        weight = self.recurrent.weight.mT
        # under autocast the products are bfloat16, the state is not
        hidden = weight.new_zeros(len(projected), projected.shape[2] // 2)
        for inputs, gate in zip(projected.unbind(1), gates[:, :, None].to(hidden.dtype).unbind(1), strict=True):
            (reset, candidate), (past_reset, past) = inputs.chunk(2, 1), (hidden @ weight).chunk(2, 1)
            found = torch.tanh(torch.addcmul(candidate, torch.sigmoid(reset + past_reset), past))
            hidden = torch.lerp(hidden, found.to(hidden.dtype), gate)
        return hidden


class Gates(nn.Module):
    """How much each sentence matters to the question and to the memory so far: one number before the sigmoid or the
    softmax. W1 is kept in two parts, since the question's does not change from pass to pass."""

    def __init__(self, width: int, kind: Kind) -> None:
        super().__init__()
        whole = kind == "dmn"
        self.asked = nn.Linear(4 * width + 1 if whole else 2 * width, width)
        self.remembered = nn.Linear(3 * width + 1 if whole else 2 * width, width, bias=False)
        self.second = nn.Linear(width, 1)
        self.between = nn.Linear(width, width, bias=False) if whole else None

    def prepare(self, facts: Float[Tensor, "b n d"], query: Float[Tensor, "b d"]) -> Float[Tensor, "b n d"]:
        """The question's part of W1 z + b1."""
        parts = self.features(facts, query)
        prepared: Tensor = self.asked(torch.cat([facts, *parts] if self.between is not None else parts, 2))
        return prepared

    def forward(
        self, prepared: Float[Tensor, "b n d"], facts: Float[Tensor, "b n d"], memory: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b n"]:
        found = prepared + self.remembered(torch.cat(self.features(facts, memory), 2))
        scores: Tensor = self.second(torch.tanh(found))
        return scores[:, :, 0]

    def features(self, facts: Float[Tensor, "b n d"], other: Float[Tensor, "b d"]) -> list[Tensor]:
        """What z has of the question, or of the memory: c*m and |c - m|; in DMN also m and c W m."""
        other = other[:, None]
        parts = [facts * other, (facts - other).abs()]
        if self.between is None:
            return parts
        return [other.expand_as(facts), *parts, (facts * self.between(other)).sum(2, keepdim=True)]


class DynamicMemoryNetwork(nn.Module):
    """Memory of sentences that is read in several passes, each with a recurrent summary (Kumar 2016; Xiong 2016).

    Args:
        symbols: size of the vocabulary, of words and answers; symbol 0 is no word.
        width: features of words, sentences and memory, d.
        passes: passes over the sentences.
        kind: "dmn+" or "dmn".
        dropout: of the sentences' vectors, and of what the answer is read from.

    Raises:
        InvalidInput: sizes below 1; another kind.
    """

    def __init__(self, symbols: int, width: int, *, passes: int = 3, kind: Kind = "dmn+", dropout: float = 0.0) -> None:
        super().__init__()
        for name, size in {"symbols": symbols, "width": width, "passes": passes}.items():
            if size < 1:
                raise InvalidInput(f"{name} must be at least 1, not {size}")
        if kind not in ("dmn+", "dmn"):
            raise InvalidInput(f'kind must be "dmn+" or "dmn", not {kind!r}')
        plus, self.kind = kind == "dmn+", kind
        self.embedding = nn.Parameter(torch.empty(symbols, width).uniform_(-(3**0.5), 3**0.5))
        self.question = GRU(width, width, reset="after")
        self.readers = nn.ModuleList(GRU(width, width, reset="after") for _ in range(2 if plus else 1))
        self.gates = Gates(width, kind)
        self.episode = AttentionGRU(width) if plus else GRU(width, width, reset="after")
        self.update = nn.ModuleList(
            [nn.Linear(3 * width, width) for _ in range(passes)] if plus else [GRU(width, width, reset="after")]
        )
        self.decoder = None if plus else GRU(symbols + width, width, reset="after")
        self.answer = nn.Linear(2 * width if plus else width, symbols)
        self.dropout = nn.Dropout(dropout)
        self.attention = nn.ModuleList(Tap("b n") for _ in range(passes))

    def facts(self, stories: Int[Tensor, "b n w"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """The vectors of the sentences in their story; zero where the mask is False."""
        readers = [net for net in self.readers if isinstance(net, GRU)]
        if self.kind == "dmn+":
            vectors = self.dropout(padded(sentence_vectors(stories[mask], self.embedding[:, None])[:, 0], mask))
            there, back = states(readers, [vectors, vectors.flip(1)], [mask, mask.flip(1)])
            return (there + back.flip(1)).masked_fill(~mask[:, :, None], 0.0)
        # all words of a story side by side, those that are no word behind them
        words = (stories > 0) & mask[:, :, None]
        most = int(words.sum((1, 2)).max()) if len(words) else 0
        order = (~words).flatten(1).long().argsort(dim=1, stable=True)[:, :most]
        symbols, kept = (part.flatten(1).gather(1, order) for part in (stories, words))
        [found] = states(readers, [self.dropout(F.embedding(symbols, self.embedding))], [kept])
        ends = words.sum(2).cumsum(1)[:, :, None].expand(-1, -1, found.shape[2])
        return F.pad(found, (0, 0, 1, 0)).gather(1, ends).masked_fill(~mask[:, :, None], 0.0)

    def forward(
        self, stories: Int[Tensor, "b n w"], questions: Int[Tensor, "b w2"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b v"]:
        """The logits of the answer; that of symbol 0, no word, is -inf.

        Args:
            stories: symbols of each sentence, the latest last.
            questions: symbols of each question.
            mask: True at the sentences.

        Raises:
            InvalidInput: a mask of another shape; a symbol outside the vocabulary.
        """
        mask = story_mask(stories, mask)
        facts = self.facts(stories, mask)
        asked = states([self.question], [F.embedding(questions, self.embedding)], [questions > 0])[0]
        query = F.pad(asked, (0, 0, 1, 0))[:, -1]  # zero for a question without a word
        prepared, memory = self.gates.prepare(facts, query), query
        projected: Any = self.episode.project(facts)
        for number, tap in enumerate(self.attention):
            scores = self.gates(prepared, facts, memory)
            if isinstance(self.episode, AttentionGRU):
                episode = self.episode(projected, tap(masked_softmax(scores, mask)))
                memory = torch.relu(self.update[number](torch.cat([memory, episode, query], 1)))
            else:
                gates = tap(torch.sigmoid(scores).masked_fill(~mask, 0.0))
                episode = gated(projected, gates, self.episode.recurrent())
                update = self.update[0]
                assert isinstance(update, GRU)
                memory = step(update, episode, memory)
        if self.decoder is None:
            final = torch.cat([query, memory], 1)
        else:
            nothing = query.new_zeros(len(query), self.decoder.input_size - query.shape[1])
            final = step(self.decoder, torch.cat([nothing, query], 1), memory)
        logits: Tensor = self.answer(self.dropout(final))
        return logits.masked_fill(torch.arange(logits.shape[1], device=logits.device) == 0, -torch.inf)


def states(
    nets: Sequence[GRU], inputs: Sequence[Float[Tensor, "b t d"]], masks: Sequence[Bool[Tensor, "b t"]]
) -> list[Float[Tensor, "b t h"]]:
    """All states of several independent nets, which share a product per step; a masked step keeps the state."""
    size, streams = nets[0].hidden_size, []
    for net, sequence, mask in zip(nets, inputs, masks, strict=True):
        gates, candidate = net.project(sequence)
        # an update gate of +inf before its sigmoid keeps the state
        keep = ~mask[:, :, None] & (torch.arange(2 * size, device=mask.device) >= size)
        streams.append(Projected(gates.masked_fill(keep, torch.inf), candidate))
    weights = [net.recurrent() for net in nets]
    bias = torch.stack([net.bias_hidden for net in nets if net.bias_hidden is not None])[:, None]
    recurrent = Recurrent(torch.stack([w.gates for w in weights]), torch.stack([w.candidate for w in weights]), bias)
    hidden = torch.zeros_like(recurrent.gates[:, :1, :size]).repeat(1, len(inputs[0]), 1)
    steps, found = [torch.stack(parts).unbind(2) for parts in zip(*streams, strict=True)], []
    for gates, candidate in zip(*steps, strict=True):
        hidden = gru_step(Projected(gates, candidate), hidden, recurrent)
        found.append(hidden)
    return list(torch.stack(found, 2) if found else hidden[:, :, None][:, :, :0])


def step(net: GRU, inputs: Float[Tensor, "b d"], hidden: Float[Tensor, "b h"]) -> Float[Tensor, "b h"]:
    """One step of a unit."""
    return gru_step(net.project(inputs), hidden, net.recurrent())


def gated(projected: Projected, gates: Float[Tensor, "b n"], recurrent: Recurrent) -> Float[Tensor, "b h"]:
    """The last state of a unit that takes each step as far as its gate says (DMN, section 2.3)."""
    hidden = recurrent.gates.new_zeros(len(gates), projected.candidate.shape[2])
    steps = (part.unbind(1) for part in (projected.gates, projected.candidate, gates[:, :, None].to(hidden.dtype)))
    for gate, candidate, weight in zip(*steps, strict=True):
        hidden = torch.lerp(hidden, gru_step(Projected(gate, candidate), hidden, recurrent), weight)
    return hidden
