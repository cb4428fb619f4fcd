"""A vector for each word from its spelling. Kim, Jernite, Sontag & Rush 2016, arXiv:1508.06615, section 3; as in ELMo,
Peters et al. 2018, arXiv:1802.05365, section 3.4.

    f_k = relu(max over windows i of b_k + sum_j w_k,j . c_i+j)         filter k over the vectors c of the characters
    y   = g relu(W x + b) + (1 - g) x,   g = sigmoid(V x + c)           each highway (Srivastava et al. 2015)
    v   = P y + q

The characters are the bytes of UTF-8 between two marks, so none is unknown. A window lies within its word; a word
shorter than a filter has one window, with zeros after it. So no word's vector depends on the length of another.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask

BEGIN_WORD, END_WORD, BEGIN, END = 257, 258, 259, 260
SYMBOLS = 261
"""0 is padding, 1 to 256 are bytes; the last two stand for the beginning and the end of a sentence."""


class Spelled(NamedTuple):
    """Sentences between marks of their beginning and their end. Each different word is spelled once."""

    letters: Int[Tensor, "n c"]
    """The symbols of each different word; 0 after the last."""
    places: Int[Tensor, "b t"]
    """The rows of `letters` that are the words of each sentence."""
    mask: Bool[Tensor, "b t"]
    """False at padding."""


def spelled(sentences: Sequence[Sequence[str]], longest: int = 50) -> Spelled:
    """The spelling of the words of some sentences.

    Args:
        sentences: the words of each sentence, which may have none.
        longest: the most symbols of a word that are read, its two marks included.

    Raises:
        InvalidInput: `longest` below 3.
    """
    if longest < 3:
        raise InvalidInput(f"longest must be at least 3, not {longest}: two symbols are the marks of a word")
    marks = [[BEGIN_WORD, mark, END_WORD] for mark in (BEGIN, END)]
    rows = {word: place for place, word in enumerate(dict.fromkeys(word for line in sentences for word in line), 2)}
    codes = [word.encode("utf-8", "surrogatepass")[: longest - 2] for word in rows]
    letters = [torch.tensor(row) for row in (*marks, *([BEGIN_WORD, *(x + 1 for x in one), END_WORD] for one in codes))]
    places = [torch.tensor([0, *(rows[word] for word in line), 1]) for line in sentences]
    lengths = torch.tensor([len(row) for row in places])
    return Spelled(pad_sequence(letters, True), pad_sequence(places, True), length_mask(lengths, int(lengths.max())))


class Highway(nn.Module):
    """A layer that mixes its input and what it makes of it. Srivastava et al. 2015, arXiv:1505.00387, equation 3. At
    first it carries most of its input.

    Args:
        size: features.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.both = nn.Linear(size, 2 * size)
        """W and b, then V and c."""
        with torch.no_grad():
            self.both.bias[size:] = -2.0

    def forward(self, inputs: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        candidate, gate = self.both(inputs).chunk(2, -1)
        return torch.lerp(inputs.to(candidate.dtype), candidate.relu(), gate.sigmoid())


class CharacterConvolution(nn.Module):
    """Vectors of words from their spelling.

    Args:
        output_size: features of a word's vector.
        character_size: features of a character.
        filters: pairs of the width of filters, in characters, and their number.
        highways: layers between filters and projection.

    Raises:
        InvalidInput: no filters, or a width or number below 1.
    """

    def __init__(
        self,
        output_size: int,
        *,
        character_size: int = 16,
        filters: Sequence[tuple[int, int]] = ((1, 32), (2, 32), (3, 64), (4, 128)),
        highways: int = 1,
    ) -> None:
        super().__init__()
        if not filters:
            raise InvalidInput("expected at least one filter, such as (3, 64): 64 filters, each 3 characters wide")
        for one in filters:
            if min(one) < 1:
                raise InvalidInput(f"expected a width and a number of filters, both at least 1, not {one}")
        self.output_size = output_size
        self.characters = nn.Embedding(SYMBOLS, character_size, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(character_size, count, width) for width, count in filters)
        size = sum(count for _, count in filters)
        self.highways = nn.ModuleList(Highway(size) for _ in range(highways))
        self.projection = nn.Linear(size, output_size)

    def forward(self, letters: Int[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """The vector of each word.

        Args:
            letters: symbols, as those of `spelled`; 0 after the last.
        """
        lengths = (letters > 0).sum(1)
        inputs = self.characters(letters).masked_fill((letters == 0)[:, :, None], 0.0).mT
        found = []
        for kernel in self.convolutions:
            assert isinstance(kernel, nn.Conv1d)
            width = kernel.kernel_size[0]
            sums = kernel(F.pad(inputs, (0, max(0, width - inputs.shape[2]))))
            within = length_mask((lengths - width + 1).clamp(min=1), sums.shape[2])
            found.append(sums.masked_fill(~within[:, None], -torch.inf).amax(2).relu())
        vector = torch.cat(found, 1)
        for layer in self.highways:
            vector = layer(vector)
        projected: Tensor = self.projection(vector)
        return projected
