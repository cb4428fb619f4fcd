import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.memory.memory_network import MemoryNetwork
from tests.checks import assert_twins, randomised
from tests.memory.test_sentences import slow as slow_vectors

STORIES = torch.tensor([
    [[3, 1, 4], [1, 5, 0], [4, 0, 0], [2, 6, 5], [3, 5, 1]],
    [[2, 6, 0], [5, 3, 4], [6, 0, 0], [0, 0, 0], [0, 0, 0]],
    [[1, 2, 3], [6, 2, 1], [5, 0, 0], [4, 4, 0], [0, 0, 0]],
])  # fmt: skip
MASK = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 4 + [False]])
QUESTIONS = torch.tensor([[4, 2], [6, 0], [1, 5]])
FACTS = torch.tensor([[3, 1], [2, -1], [0, 3]])
ANSWERS = torch.tensor([5, 2, 6])
KINDS = [
    {"facts": 2}, {"facts": 3, "adaptive": True}, {"facts": 2, "times": False}, {"facts": 2, "adaptive": True},
    {"facts": 3, "adaptive": True, "latest": True, "nonlinear": True, "encoding": "position", "margin": 0.7},
]  # fmt: skip


def make(**options: object) -> MemoryNetwork:
    return randomised(MemoryNetwork(7, 11, **options))  # type: ignore[arg-type]


class Slow:
    """The equations for one example, pair by pair."""

    def __init__(self, model: MemoryNetwork, row: int) -> None:
        self.model, kept = model, MASK[row].tolist()
        self.story = [sentence for sentence, keep in zip(STORIES[row], kept, strict=True) if keep]
        self.question = QUESTIONS[row]

    def embedded(self, module: str, table: int, sentence: Tensor) -> Tensor:
        matching = getattr(self.model, module)
        return slow_vectors(sentence[None], matching.tables[:, table : table + 1], matching.encoding)[0, 0]

    def matched(self, module: str, side: str, summed: Tensor) -> Tensor:
        layer = getattr(getattr(self.model, module), side)
        return summed if layer is None else torch.tanh(layer.weight @ torch.tanh(summed))

    def query(self, module: str, facts: list[int]) -> Tensor:
        apart = getattr(self.model, module).tables.shape[1] > 3
        tables = [3 if apart and number == len(facts) else 2 for number in range(1, len(facts) + 1)]
        beside = [self.embedded(module, table, self.story[fact]) for table, fact in zip(tables, facts, strict=True)]
        return self.matched(module, "query", torch.stack([self.embedded(module, 0, self.question), *beside]).sum(0))

    def key(self, place: int | None) -> Tensor:
        if place is None:
            assert self.model.end is not None
            return self.model.end
        return self.matched("output", "key", self.embedded("output", 1, self.story[place]))

    def compared(self, facts: list[int], y: int | None, other: int | None) -> Tensor:
        """s(x, y, y'); None is the end, which has no time."""
        total = self.key(y) - self.key(other)
        if self.model.times is not None and y is not None and other is not None:
            age = facts[-1] if facts else len(self.story)
            holds = [age < y, age < other, 1 if y < other else -1]
            total = total + torch.stack([h * t for h, t in zip(holds, self.model.times, strict=True)]).sum(0)
        return (self.query("output", facts) * total).sum()

    def facts(self) -> list[int]:
        found: list[int] = []
        for _ in range(self.model.facts):
            best = 0
            for place in range(1, len(self.story)):
                if self.compared(found, place, best) > 0:
                    best = place
            if self.model.end is not None and self.compared(found, None, best) >= 0:
                break
            found.append(best)
        return found

    def said(self, facts: list[int], symbol: int) -> Tensor:
        matching = self.model.response
        return (self.query("response", facts) * self.matched("response", "key", matching.tables[symbol, 1])).sum()

    def loss(self, facts: list[int], answer: int) -> tuple[Tensor, Tensor]:
        g, total = self.model.margin, self.model.times.sum() * 0 if self.model.times is not None else torch.zeros(())
        goals: list[int | None] = [*facts]
        if self.model.end is not None and len(facts) < self.model.facts:
            goals.append(None)
        for step, goal in enumerate(goals):
            others: list[int | None] = [place for place in range(len(self.story)) if place != goal]
            if self.model.end is not None and goal is not None:
                others.append(None)
            for f in others:
                total = total + (g - self.compared(facts[:step], goal, f)).relu()
                total = total + (g + self.compared(facts[:step], f, goal)).relu()
        right = self.said(facts, answer)
        wrong = [(g - right + self.said(facts, v)).relu() for v in range(1, 7) if v != answer]
        return total, torch.stack(wrong).sum()


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_the_loss_is_the_equation(options: dict[str, object]) -> None:
    model = make(**options)

    def slow() -> tuple[Tensor, ...]:
        each = [
            Slow(model, row).loss([fact for fact in facts if fact >= 0], answer)
            for row, (facts, answer) in enumerate(zip(FACTS.tolist(), ANSWERS.tolist(), strict=True))
        ]
        return tuple(torch.stack(part) for part in zip(*each, strict=True))

    weights = list(model.parameters())
    assert_twins(lambda: model.ranking_loss(STORIES, QUESTIONS, ANSWERS, FACTS, MASK), slow, weights, 1e-11)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_the_facts_are_the_arg_max_pair_by_pair_and_the_answer_follows_them(options: dict[str, object]) -> None:
    for seed in range(25):  # often enough that each of the ages decides
        torch.manual_seed(seed)
        model = make(**options)
        if model.times is not None:
            model.times.data *= 4
        found = model(STORIES, QUESTIONS, MASK)
        for row in range(3):
            slow = Slow(model, row)
            facts = slow.facts()
            assert found.facts[row].tolist() == facts + [-1] * (model.facts - len(facts))
            scores = torch.stack([slow.said(facts, v) for v in range(1, 7)])
            torch.testing.assert_close(found.scores[row, 1:], scores)


def test_without_times_it_is_the_largest_score() -> None:
    model = make(facts=1, times=False)
    found = model(STORIES, QUESTIONS, MASK)
    remembered = model.remember(STORIES, QUESTIONS, MASK)
    scores = torch.einsum("bd,bnd->bn", remembered.asked, remembered.keys).masked_fill(~MASK, -torch.inf)
    assert found.facts[:, 0].tolist() == scores.argmax(1).tolist()


def test_no_loss_where_all_is_won_by_the_margin_and_only_there() -> None:
    """The hinge is zero if and only if every comparison is in order by the margin."""
    model = make(facts=1, times=False, margin=1e-6)
    facts = model(STORIES, QUESTIONS, MASK).facts
    answers = model(STORIES, QUESTIONS, MASK).scores.argmax(1)
    right = model.ranking_loss(STORIES, QUESTIONS, answers, facts, MASK)
    assert not right.facts.any()
    assert not right.answers.any()
    others = (facts + 1) % MASK.sum(1, keepdim=True)
    assert (model.ranking_loss(STORIES, QUESTIONS, answers, others, MASK).facts > 0).all()
    assert (model.ranking_loss(STORIES, QUESTIONS, answers % 6 + 1, facts, MASK).answers > 0).all()


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_padding_is_as_if_cut_off(options: dict[str, object]) -> None:
    model = make(**options)
    whole, cut = model(STORIES, QUESTIONS, MASK), model(STORIES[1:2, :3], QUESTIONS[1:2, :1])
    assert torch.equal(whole.facts[1:2], cut.facts)
    torch.testing.assert_close(whole.scores[1:2], cut.scores)
    losses = [
        model.ranking_loss(STORIES[rows, :size], QUESTIONS[rows], ANSWERS[rows], FACTS[rows], MASK[rows, :size])
        for rows, size in ((slice(None), 5), (slice(1, 2), 3))
    ]
    for whole_loss, cut_loss in zip(*losses, strict=True):
        torch.testing.assert_close(whole_loss[1:2], cut_loss)


def test_what_it_chose_can_be_seen() -> None:
    model = make(facts=2)
    with capture(model) as seen:
        found = model(STORIES, QUESTIONS, MASK)
    for step in range(2):
        assert torch.equal(seen[f"chosen.{step}"][0].argmax(1), found.facts[:, step])


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_an_empty_memory_has_no_fact_and_no_nan(options: dict[str, object]) -> None:
    model = make(**options)
    for stories, mask in ((STORIES, torch.zeros_like(MASK)), (STORIES[:, :0], MASK[:, :0])):
        found = model(stories, QUESTIONS, mask)
        assert (found.facts == -1).all()
        assert found.scores[:, 1:].isfinite().all()


@hypothesis.given(scale=st.sampled_from([0.0, 1.0, 1e4]), kind=st.sampled_from(KINDS))
def test_finite_whatever_comes(scale: float, kind: dict[str, object]) -> None:
    model = randomised(MemoryNetwork(7, 3, **kind), scale).float()  # type: ignore[arg-type]
    with torch.autocast("cpu", torch.bfloat16):
        losses = model.ranking_loss(STORIES, QUESTIONS, ANSWERS, FACTS, MASK)
        assert model(STORIES, QUESTIONS, MASK).scores[:, 1:].isfinite().all()
    (losses.facts.sum() + losses.answers.sum()).float().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.unhooked
def test_errors() -> None:
    with pytest.raises(InvalidInput, match="facts must be at least 1, not 0"):
        MemoryNetwork(7, 11, facts=0)
    with pytest.raises(InvalidInput, match="margin must be above 0, not 0"):
        MemoryNetwork(7, 11, margin=0.0)
    with pytest.raises(InvalidInput, match="the mask of stories must have shape"):
        MemoryNetwork(7, 11)(STORIES, QUESTIONS, MASK[:, :3])
