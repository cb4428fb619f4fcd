"""A bidirectional language model, and the mix of its layers. Peters et al. 2018, arXiv:1802.05365, section 3.

    h_k,1 = LSTM_1(x)_k,   h_k,j = LSTM_j(h_.,j-1)_k + h_k,j-1          forward and backward, each by its own weights
    p(w_k | w_1 .. w_k-1) = softmax(W h_k-1,L + b)                      forward
    p(w_k | w_k+1 .. w_n) = softmax(W h_k+1,L + b)                      backward, by the same W and b
    ELMo_k = gamma sum_j softmax(s)_j h_k,j                             h_k,0 = [x_k; x_k],  h_k,j = [forward; backward]

x_k vectors of words from their characters, the same for both directions. The state of an LSTM is a projection of its
gated cell (Sak et al. 2014, arXiv:1402.1128, without peepholes):

    h_t = P (o_t * tanh(c_t)),   with i, f, g, o = W x_t + U h_t-1 + b   and   c_t = f * c_t-1 + i * tanh(g)

Every sentence begins from zeros: its vectors do not depend on what was read before it.
"""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.device import evaluating, to_device
from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap
from saccade.nets.character_convolution import CharacterConvolution, Spelled, spelled
from saccade.nets.dropout import Dropout
from saccade.nets.recurrent_stack import reverse


class ProjectedLSTM(nn.Module):
    """Two layers of LSTM with a projected state, side by side in one loop, each with its own weights.

    Args:
        input_size: features of the input.
        hidden_size: cells.
        projection_size: features of the state and of the output.
    """

    def __init__(self, input_size: int, hidden_size: int, projection_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.weight_input = nn.Parameter(torch.empty(2, input_size, 4 * hidden_size))
        self.weight_hidden = nn.Parameter(torch.empty(2, projection_size, 4 * hidden_size))
        self.bias = nn.Parameter(torch.zeros(2, 4 * hidden_size))
        self.weight_projection = nn.Parameter(torch.empty(2, hidden_size, projection_size))
        for weights, gates in ((self.weight_input, 4), (self.weight_hidden, 4), (self.weight_projection, 1)):
            for way in weights.detach():
                for block in way.split(way.shape[1] // gates, 1):
                    nn.init.xavier_uniform_(block)
        with torch.no_grad():
            self.bias[:, hidden_size : 2 * hidden_size] = 1.0  # a new cell keeps its content

    def forward(self, inputs: Float[Tensor, "2 b t d"]) -> Float[Tensor, "2 b t p"]:
        """The states, each from those before it."""
        ways, count, length, _ = inputs.shape
        rows = inputs.transpose(1, 2).flatten(1, 2)
        read = torch.baddbmm(self.bias[:, None], rows, self.weight_input).view(ways, length, count, -1)
        hidden = inputs.new_zeros(ways, count, self.weight_projection.shape[2])
        cell, states = inputs.new_zeros(ways, count, self.hidden_size), []
        for sums in read.unbind(1):
            gates = torch.baddbmm(sums, hidden.to(sums.dtype), self.weight_hidden).to(cell.dtype)
            write, keep, candidate, out = gates.chunk(4, -1)
            cell = torch.addcmul(keep.sigmoid() * cell, write.sigmoid(), candidate.tanh())
            hidden = torch.bmm(out.sigmoid() * cell.tanh(), self.weight_projection)
            states.append(hidden)
        return torch.stack(states, 2)


class BidirectionalLanguageModel(nn.Module):
    """Predicts each word of a sentence from those before it, and from those after it.

    Args:
        token: makes the vectors of the words; each state has as many features.
        words: number of words that are predicted.
        hidden_size: cells of each layer and direction.
        layers: layers of each direction.
        dropout: rate of the input of each layer and of the last layer's states.
        longest: the most symbols of a word that are read.

    Raises:
        InvalidInput: no layers.
    """

    def __init__(
        self,
        token: CharacterConvolution,
        words: int,
        hidden_size: int,
        *,
        layers: int = 2,
        dropout: float = 0.0,
        longest: int = 50,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise InvalidInput(f"layers must be at least 1, not {layers}")
        self.longest, size = longest, token.output_size
        self.token = token
        self.layers = nn.ModuleList(ProjectedLSTM(size, hidden_size, size) for _ in range(layers))
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(size, words)
        self.states = Tap("b t d")

    @property
    def size(self) -> int:
        """Features of a word's vector in each layer: those of both directions."""
        return 2 * self.token.output_size

    def directions(self, tokens: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> list[Float[Tensor, "2 b t d"]]:
        """The vectors of the words, then the states of each layer, forward first; zero at padding. The tap `states`
        hears each, both directions side by side."""
        lengths = None if bool(mask.all()) else mask.sum(1)
        hidden, found = torch.stack([tokens, reverse(tokens, lengths)]), []
        for number, layer in enumerate([None, *self.layers]):
            if layer is not None:
                read = self.dropout(hidden)
                hidden = layer(read) + read if number > 1 else layer(read)
            states = torch.stack([hidden[0], reverse(hidden[1], lengths)]).masked_fill(~mask[:, :, None], 0.0)
            self.states.lazy(partial(torch.cat, tuple(states), -1))
            found.append(states)
        return found

    def read(self, words: Spelled) -> list[Float[Tensor, "2 b t d"]]:
        """`directions` of spelled words."""
        return self.directions(self.token(words.letters)[words.places], words.mask)

    def forward(self, words: Spelled) -> Float[Tensor, "b t l f"]:
        """The layers of each word, from its own vector to the last states: forward, then backward. The marks of each
        sentence are among the words."""
        return torch.stack([torch.cat([one, other], -1) for one, other in self.read(words)], 2)

    def nats(self, words: Spelled, symbols: Int[Tensor, "b t"]) -> Float[Tensor, "2 b s"]:
        """-log p of the symbols, s = t - 1: of each but the first, given those before it; and of each but the last,
        given those after it. Zero at padding.

        Args:
            symbols: what each word counts as, from 0; the marks are among the words.
        """
        if symbols.shape != words.places.shape:
            raise InvalidInput(f"symbols must have shape {tuple(words.places.shape)}, not {tuple(symbols.shape)}")
        forward, backward = self.read(words)[-1]
        keep = words.mask[:, 1:]  # the place after a word is in its sentence
        states = self.dropout(torch.cat([forward[:, :-1][keep], backward[:, 1:][keep]]))
        right = torch.cat([symbols[:, 1:][keep], symbols[:, :-1][keep]])
        each = F.cross_entropy(self.output(states), right, reduction="none")
        return each.new_zeros(2, *keep.shape).masked_scatter(keep.expand(2, -1, -1), each)

    def vectors(self, sentences: Sequence[Sequence[str]], at_once: int = 64) -> list[Float[Tensor, "t l f"]]:
        """The layers of each word, without dropout, whatever the mode, and without gradients: they depend on the words
        of the sentence alone.

        Args:
            sentences: the words of each.
            at_once: sentences in a batch.
        """
        found: list[Tensor] = []
        with evaluating(self):
            for start in range(0, len(sentences), at_once):
                part = sentences[start : start + at_once]
                rows = self(to_device(spelled(part, self.longest), self.output.weight.device))
                found += [row[1 : 1 + len(words)] for row, words in zip(rows, part, strict=True)]
        return found


class ScalarMix(nn.Module):
    """A mix of layers by learned weights: gamma sum_j softmax(s)_j h_j, at first their mean.

    Args:
        layers: number of layers.
        normalized: whether each vector of each layer has mean 0 and variance 1 before (section 3.2).

    Raises:
        InvalidInput: no layers, or another number of them in the input.
    """

    def __init__(self, layers: int, *, normalized: bool = False) -> None:
        super().__init__()
        if layers < 1:
            raise InvalidInput(f"layers must be at least 1, not {layers}")
        self.normalized = normalized
        self.weights = nn.Parameter(torch.zeros(layers))
        """s."""
        self.scale = nn.Parameter(torch.ones(()))
        """gamma."""

    def forward(self, layers: Float[Tensor, "*b l d"]) -> Float[Tensor, "*b d"]:
        if layers.shape[-2] != len(self.weights):
            raise InvalidInput(f"expected {len(self.weights)} layers, not {layers.shape[-2]}")
        each = F.layer_norm(layers, layers.shape[-1:]) if self.normalized else layers
        return self.scale * (self.weights.softmax(0) @ each.to(self.weights.dtype))
