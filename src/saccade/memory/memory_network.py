"""Memory network. Weston, Chopra & Bordes 2014, arXiv:1410.3916, sections 3.1 and 3.4; options of Weston et al. 2015,
arXiv:1502.05698, section 4: memory that is adaptive, and a nonlinear matching function.

    o_t  = argmax_i s_O([x, m_o1, .., m_o(t-1)], m_i)          the facts that support the answer
    r    = argmax_w s_R([x, m_o1, .., m_ot], w)                the answer, one symbol
    s(x, y) = E_x(x) . E_y(y)                                  E(z) = U z, z bags of words
    E(z) = tanh(W tanh(U z))                                   nonlinear

U has three dictionaries: of the question, of the facts beside it, and of what is matched. With `latest`, which is not
the paper's, the last fact has another one than the facts before it: a bag of all facts does not know which is the last.
With times, two memories are compared (section 3.4): from the first to the last, y takes the place of the best y' if

    s(x, y, y') = E_x(x) . (E_y(y) - E_y(y') + t_1 [x older than y] + t_2 [x older than y'] +- t_3) > 0

+t_3 where y is older than y', -t_3 where it is newer; the paper has 0 there, so that no feature favours a newer y, and
the most recent of several like sentences is not found. The question is newer than all memories; after a fact, x is as
old as the last one. If memory is adaptive, the end is one more memory, without a time, and no fact is sought once it is
chosen. The loss has a margin g for each mistake (here with times), f over all other memories, v over all other answers:

    sum_t sum_f max(0, g - s(x, m_ot, f)) + max(0, g + s(x, f, m_ot))
    + sum_v max(0, g - s_R(x, r) + s_R(x, v))

b batch, n memories, t facts, w words of a sentence, v symbols, a of them answers, d width.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap
from saccade.memory.sentences import Encoding, padded, sentence_vectors, story_mask


class Found(NamedTuple):
    """The facts that were chosen, and the scores of the answers."""

    facts: Int[Tensor, "b t"]
    """The memory of each step; -1 after the end, and where there is no memory."""
    scores: Float[Tensor, "b a"]
    """s_R of each answer; that of symbol 0, no word, is -inf."""


class Ranking(NamedTuple):
    """The loss of each example."""

    facts: Float[Tensor, " b"]
    answers: Float[Tensor, " b"]


class Matching(nn.Module):
    """s(x, y): dictionaries of the question, of what is matched, of the facts and, if apart, of the last fact; and the
    functions E."""

    def __init__(self, symbols: int, width: int, encoding: Encoding, nonlinear: bool, latest: bool) -> None:
        super().__init__()
        self.encoding = encoding
        self.tables = nn.Parameter(torch.empty(symbols, 4 if latest else 3, width))
        nn.init.normal_(self.tables, std=0.1)
        self.query = nn.Linear(width, width, bias=False) if nonlinear else None
        self.key = nn.Linear(width, width, bias=False) if nonlinear else None

    def vectors(self, symbols: Int[Tensor, "s w"], first: int, last: int) -> Float[Tensor, "s g d"]:
        """U z of sentences in the dictionaries from first to last."""
        return sentence_vectors(symbols, self.tables[:, first : last + 1], self.encoding)

    def beside(self, asked: Float[Tensor, "b d"], facts: Float[Tensor, "b t g d"]) -> Float[Tensor, "b t+1 d"]:
        """U x after 0, 1, .. facts, of the question and of each fact in its dictionaries."""
        total = facts[:, :, 0].cumsum(1)
        if facts.shape[2] > 1:
            total = total - facts[:, :, 0] + facts[:, :, 1]
        return asked[:, None] + torch.cat([torch.zeros_like(asked)[:, None], total], 1)

    def of_query(self, summed: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """E_x of U x."""
        return summed if self.query is None else torch.tanh(self.query(torch.tanh(summed)))

    def of_key(self, summed: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """E_y of U y."""
        return summed if self.key is None else torch.tanh(self.key(torch.tanh(summed)))


class Remembered(NamedTuple):
    """What the scores need of a story and a question."""

    mask: Bool[Tensor, "b n"]
    asked: Float[Tensor, "b d"]
    """U x of the question, for s_O."""
    facts: Float[Tensor, "b n g d"]
    """U x of each memory as a fact beside the question, for s_O, in the dictionaries of a fact and of the last one."""
    keys: Float[Tensor, "b n d"]
    """E_y of each memory, for s_O."""


class MemoryNetwork(nn.Module):
    """Memory network with hard choices, trained by ranking its supporting facts (Weston et al. 2014).

    Args:
        symbols: size of the vocabulary, of words and answers; symbol 0 is no word.
        width: features of an embedding, d.
        answers: how many symbols may be answers, the first ones; by default all.
        facts: the most facts that support an answer.
        adaptive: whether the network decides when it has all facts; otherwise there are always as many.
        times: whether memories are compared by age as well.
        latest: whether the last fact has a dictionary of its own.
        nonlinear: whether E is tanh(W tanh(U z)).
        encoding: how a sentence becomes a vector: "bag" or "position".
        margin: g, by which the right one must win.

    Raises:
        InvalidInput: sizes below 1; another encoding; a margin that is not above 0.
    """

    def __init__(
        self,
        symbols: int,
        width: int,
        *,
        answers: int | None = None,
        facts: int = 2,
        adaptive: bool = False,
        times: bool = True,
        latest: bool = False,
        nonlinear: bool = False,
        encoding: Encoding = "bag",
        margin: float = 0.1,
    ) -> None:
        super().__init__()
        for name, size in {"symbols": symbols, "width": width, "facts": facts}.items():
            if size < 1:
                raise InvalidInput(f"{name} must be at least 1, not {size}")
        if not margin > 0:
            raise InvalidInput(f"margin must be above 0, not {margin}")
        self.answers = symbols if answers is None else answers
        if not 2 <= self.answers <= symbols:
            raise InvalidInput(f"answers must be from 2 to the {symbols} symbols, not {self.answers}")
        self.facts, self.margin = facts, margin
        self.output = Matching(symbols, width, encoding, nonlinear, latest)
        self.response = Matching(symbols, width, encoding, nonlinear, latest)
        self.times = nn.Parameter(0.1 * torch.randn(3, width)) if times else None
        self.end = nn.Parameter(0.1 * torch.randn(width)) if adaptive else None
        self.chosen = nn.ModuleList(Tap("b n") for _ in range(facts))

    def remember(
        self, stories: Int[Tensor, "b n w"], questions: Int[Tensor, "b w2"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Remembered:
        """Embed the memories and the question for the choice of facts."""
        mask = story_mask(stories, mask)
        found = padded(self.output.vectors(stories[mask], 1, 3), mask)
        asked = self.output.vectors(questions, 0, 0)[:, 0]
        return Remembered(mask, asked, found[:, :, 1:], self.output.of_key(found[:, :, 0]))

    def choose(self, remembered: Remembered, query: Float[Tensor, "b d"], last: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """The best memory for a query E_x(x), as each wins or loses against the best so far; -1: the end, or none.

        Args:
            remembered: what `remember` returns.
            query: E_x of the question and the facts so far.
            last: the place of the last fact; the number of memories before the first.
        """
        mask = remembered.mask
        scores = torch.einsum("bd,bnd->bn", query, remembered.keys)
        defend, attack = scores, scores
        if self.times is not None:
            first, second, third = (query @ self.times.mT)[:, :, None].unbind(1)
            newer = last[:, None] < torch.arange(mask.shape[1], device=mask.device)  # x is older than this memory
            # i wins if s(x, i, best) > 0, and is newer than the best before it
            attack, defend = scores + first * newer - third, scores - second * newer
        best, held, score = last.new_full(last.shape, -1), *scores.new_full((2, len(last)), -torch.inf)
        for place in range(mask.shape[1]):
            wins = mask[:, place] & ((attack[:, place] > held) | (best < 0))
            best = torch.where(wins, place, best)
            held = torch.where(wins, defend[:, place], held)
            score = torch.where(wins, scores[:, place], score)
        return best if self.end is None else best.masked_fill(query @ self.end >= score, -1)

    def forward(
        self, stories: Int[Tensor, "b n w"], questions: Int[Tensor, "b w2"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Found:
        """Choose the facts one by one, then score the answers.

        Args:
            stories: symbols of each sentence, the latest last.
            questions: symbols of each question.
            mask: True at the sentences.

        Raises:
            InvalidInput: a mask of another shape; a symbol outside the vocabulary.
        """
        remembered = self.remember(stories, questions, mask)
        count = stories.shape[1]
        query, facts, read = remembered.asked, list[Tensor](), list[Tensor]()
        last = questions.new_full((len(questions),), count)
        going = torch.ones_like(last, dtype=torch.bool)
        for tap in self.chosen:
            fact = self.choose(remembered, self.output.of_query(query), last).masked_fill(~going, -1)
            going = fact >= 0
            weights = tap((fact[:, None] == torch.arange(count, device=fact.device)).to(query.dtype))
            read.append(torch.einsum("bn,bngd->bgd", weights, remembered.facts))
            query = self.output.beside(remembered.asked, torch.stack(read, 1))[:, -1]
            last = fact
            facts.append(fact)
        found = torch.stack(facts, 1)
        return Found(found, self.scores(stories, questions, found))

    def scores(
        self, stories: Int[Tensor, "b n w"], questions: Int[Tensor, "b w2"], facts: Int[Tensor, "b t"]
    ) -> Float[Tensor, "b a"]:
        """s_R of each answer, given the facts (-1: none)."""
        there = facts >= 0
        rows = torch.arange(len(facts), device=facts.device)[:, None].expand_as(facts)
        read = padded(self.response.vectors(stories[rows[there], facts[there]], 2, 3), there)
        asked = self.response.vectors(questions, 0, 0)[:, 0]
        count = there.sum(1)[:, None, None].expand(-1, 1, asked.shape[1])
        query = self.response.of_query(self.response.beside(asked, read).gather(1, count)[:, 0])
        scores = query @ self.response.of_key(self.response.tables[: self.answers, 1]).mT
        return scores.masked_fill(torch.arange(scores.shape[1], device=scores.device) == 0, -torch.inf)

    def ranking_loss(
        self,
        stories: Int[Tensor, "b n w"],
        questions: Int[Tensor, "b w2"],
        answers: Int[Tensor, " b"],
        facts: Int[Tensor, "b t"],
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> Ranking:
        """The margin loss of each example, at its own supporting facts.

        Args:
            stories, questions, mask: as in `forward`.
            answers: the right symbol; 0: none, and no loss of the answer.
            facts: the supporting memories in order, at least one; -1 after the last. Those after `self.facts` are left
                out.
        """
        remembered, facts = self.remember(stories, questions, mask), facts[:, : self.facts]
        there, (size, count) = facts >= 0, stories.shape[:2]
        steps = facts.shape[1] + (self.end is not None and facts.shape[1] < self.facts)
        places = facts.clamp(min=0)
        rows = torch.arange(size, device=facts.device)[:, None]
        read = remembered.facts[rows, places] * there[:, :, None, None]
        query = self.output.of_query(self.output.beside(remembered.asked, read))[:, :steps]
        # what is right at each step: a fact, then the end, then nothing counts
        target = torch.cat([places, places.new_full((size, 1), 0)], 1)[:, :steps]
        right = torch.cat([there, there.new_zeros(size, 1)], 1)[:, :steps]
        ending = torch.arange(steps, device=facts.device) == there.sum(1, keepdim=True)
        last = torch.cat([places.new_full((size, 1), count), places], 1)[:, :steps]
        scores = torch.einsum("btd,bnd->btn", query, remembered.keys)
        own = scores.gather(2, target[:, :, None])
        wins, losses = own - scores, scores - own  # s(x, y, f) and s(x, f, y)
        if self.times is not None:
            first, second, third = (query @ self.times.mT)[..., None, :].unbind(3)
            every = torch.arange(count, device=facts.device)
            older, own_older = last[:, :, None] < every, (last < target)[:, :, None]
            age = third * torch.where(target[:, :, None] < every, 1.0, -1.0)
            wins = wins + first * own_older + second * older + age
            losses = losses + first * older + second * own_older - age
        others = remembered.mask[:, None] & (torch.arange(count, device=facts.device) != target[:, :, None])
        each = (self.margin - wins).relu() + (self.margin + losses).relu()
        total = (each * (others & right[:, :, None])).sum((1, 2))
        if self.end is not None:
            ends = query @ self.end
            total = total + 2 * ((self.margin - own[:, :, 0] + ends).relu() * right).sum(1)
            before_end = (self.margin - ends[:, :, None] + scores).relu() * remembered.mask[:, None]
            total = total + 2 * (before_end * ending[:, :, None]).sum((1, 2))
        said = self.scores(stories, questions, facts)
        wrong = torch.arange(said.shape[1], device=said.device) != answers[:, None]
        wrong = wrong & (torch.arange(said.shape[1], device=said.device) > 0) & (answers > 0)[:, None]
        lead = said.gather(1, answers.clamp(min=1)[:, None]) - said.masked_fill(~wrong, 0.0)
        return Ranking(total, ((self.margin - lead).relu() * wrong).sum(1))
