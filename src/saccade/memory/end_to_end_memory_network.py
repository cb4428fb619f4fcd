"""End-to-end memory network. Sukhbaatar, Szlam, Weston & Fergus 2015, arXiv:1503.08895, sections 2 and 4.1.

    m_i  = sum_j l_j * A x_ij + T_A(i)        memories        l the position encoding, T the time of a sentence
    c_i  = sum_j l_j * C x_ij + T_C(i)        their outputs
    u    = sum_j l_j * B q_j                  the question
    p_i  = softmax_i(u . m_i)                 equation 1; a linear start leaves the softmax out
    o    = sum_i p_i c_i                      equation 2
    u'   = u + o                              the next hop, with A_k+1 = C_k, B = A_1, W^T = C_K      (adjacent)
    u'   = H u + o                            the same A and C in all hops                          (layer-wise)
    a^   = softmax(W u')                      equation 3

i counts backwards: time 0 is that of the latest sentence. In the authors' code the memory always has 50 places, and
those without a sentence are zero: they take part in the softmax with the score 0, so a hop may read nothing.
b batch, n memories, w words, v symbols, d width, g tables.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.masks import masked_softmax
from saccade.core.tap import Tap
from saccade.memory.sentences import Encoding, padded, sentence_vectors, story_mask

Tying = Literal["adjacent", "layer-wise"]


def hop(
    query: Float[Tensor, "b d"],
    memories: Float[Tensor, "b n d"],
    mask: Bool[Tensor, "b n"] | None = None,
    linear: bool = False,
    empty: Int[Tensor, " b"] | None = None,
) -> Float[Tensor, "b n"]:
    """The weights p of one hop; with `linear` they are the scores. Without a memory there is no weight.

    `empty` counts further places of the memory, which are zero and take the rest of the weight.
    """
    scores = torch.einsum("bd,bnd->bn", query, memories)
    if linear:
        return scores if mask is None else scores.masked_fill(~mask, 0.0)
    if empty is None:
        return masked_softmax(scores, mask)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return torch.cat([scores, empty.to(scores.dtype).log()[:, None]], 1).softmax(1)[:, :-1]


class EndToEndMemoryNetwork(nn.Module):
    """Memory network with soft attention in several hops (Sukhbaatar et al. 2015).

    Args:
        symbols: size of the vocabulary, of words and answers; symbol 0 is no word.
        width: features of a memory, d.
        hops: reads of the memory, one after the other.
        memories: the most sentences that are remembered.
        encoding: how a sentence becomes a vector: "position", or "bag", which does not know the order of its words.
        tying: "adjacent" or "layer-wise", which hops share which weights.
        filled: whether the places without a sentence, up to `memories`, take part in the softmax, as in the authors'
            code; weights then sum to less than 1.

    Raises:
        InvalidInput: sizes below 1; another encoding or tying.
    """

    def __init__(
        self,
        symbols: int,
        width: int,
        *,
        hops: int = 3,
        memories: int = 50,
        encoding: Encoding = "position",
        tying: Tying = "adjacent",
        filled: bool = False,
    ) -> None:
        super().__init__()
        for name, size in {"symbols": symbols, "width": width, "hops": hops, "memories": memories}.items():
            if size < 1:
                raise InvalidInput(f"{name} must be at least 1, not {size}")
        if tying not in ("adjacent", "layer-wise"):
            raise InvalidInput(f'tying must be "adjacent" or "layer-wise", not {tying!r}')
        adjacent = tying == "adjacent"
        self.hops, self.memories, self.encoding, self.tying, self.filled = hops, memories, encoding, tying, filled
        # adjacent: A_1 = B, C_1 = A_2, ..., C_K = W^T; layer-wise: A, C, B
        self.embedding = nn.Parameter(torch.empty(hops + 1 if adjacent else 3, symbols, width))
        self.times = nn.Parameter(torch.empty(hops + 1 if adjacent else 2, memories, width))
        self.between = None if adjacent else nn.Linear(width, width, bias=False)
        self.answer = None if adjacent else nn.Linear(width, symbols, bias=False)
        self.weights = nn.ModuleList(Tap("b n") for _ in range(hops))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for parameter in self.parameters():  # 4.2: a normal distribution with a deviation of 0.1
            nn.init.normal_(parameter, std=0.1)

    def remember(
        self, stories: Int[Tensor, "b n w"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "g b n d"]:
        """The sentences as memories in each table; zero where the mask is False.

        Raises:
            InvalidInput: more sentences than `memories`; a mask of another shape.
        """
        mask = story_mask(stories, mask)
        age = mask.flip(1).cumsum(1).flip(1) - 1
        if stories.shape[1] > self.memories and (most := int(mask.sum(1).max())) > self.memories:
            raise InvalidInput(f"a story has {most} sentences, but the memory holds {self.memories}: keep the latest")
        tables = self.embedding[: len(self.times)].transpose(0, 1)
        found = sentence_vectors(stories[mask], tables, self.encoding)  # padding is not computed
        return padded(found + self.times.transpose(0, 1)[age[mask]], mask).permute(2, 0, 1, 3)

    def forward(
        self,
        stories: Int[Tensor, "b n w"],
        questions: Int[Tensor, "b w2"],
        mask: Bool[Tensor, "b n"] | None = None,
        *,
        linear: bool = False,
    ) -> Float[Tensor, "b v"]:
        """The logits of the answer; that of symbol 0, no word, is -inf.

        Args:
            stories: symbols of each sentence, the latest last.
            questions: symbols of each question.
            mask: True at the sentences; a sentence without words is an empty memory.
            linear: leave the softmax of the hops out, as in a linear start.

        Raises:
            InvalidInput: more sentences than `memories`; a mask of another shape; a symbol outside the vocabulary.
        """
        mask = story_mask(stories, mask)
        memories = self.remember(stories, mask).unbind(0)
        empty = self.memories - mask.sum(1) if self.filled else None
        asked = self.embedding[2:] if self.between is not None else self.embedding[:1]
        query = sentence_vectors(questions, asked.transpose(0, 1), self.encoding)[:, 0]
        for number, tap in enumerate(self.weights):
            first, second = (0, 1) if self.between is not None else (number, number + 1)
            weights = tap(hop(query, memories[first], mask, linear, empty))
            output = torch.einsum("bn,bnd->bd", weights, memories[second])
            query = output + (query if self.between is None else self.between(query))
        logits = query @ self.embedding[-1].mT if self.answer is None else self.answer(query)
        return logits.masked_fill(torch.arange(logits.shape[1], device=logits.device) == 0, -torch.inf)
