import math
from collections import Counter
from itertools import pairwise, product
from typing import Any, NamedTuple

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.state import Constant
from saccade.nets.search import (
    Hypothesis,
    SearchConfig,
    SearchModel,
    Symbols,
    answers,
    beam_search,
    draw,
    normalised,
    sample,
)

START, END = 1, 2
SYMBOLS = Symbols(START, END)
SIZE = 3
SEEDS = range(5)


class State(NamedTuple):
    sentence: Constant
    hidden: Tensor


class RandomModel:
    """Log-probabilities that depend on the sentence and, through a recurrent state, on every symbol so far.

    Only the first `possible` symbols occur; the rest of the vocabulary is impossible, so that a beam may be wide.
    `ending` is added to the logit of the end symbol.
    """

    def __init__(self, seed: int, possible: int = 5, vocabulary: int | None = None, ending: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.vocabulary = possible if vocabulary is None else vocabulary

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.symbols, self.recurrent = normal(self.vocabulary, SIZE), normal(SIZE, SIZE)
        self.output, self.bias = 2 * normal(SIZE, self.vocabulary), torch.zeros(self.vocabulary, dtype=torch.float64)
        self.bias[END] = ending
        self.bias[possible:] = -torch.inf
        self.rows: list[int] = []

    def start(self, encoded: Tensor) -> State:
        return State(Constant(encoded), torch.zeros_like(encoded))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        self.rows.append(len(tokens))
        hidden = torch.tanh(state.hidden @ self.recurrent + self.symbols[tokens] + state.sentence.spread(len(tokens)))
        return (hidden @ self.output + self.bias).log_softmax(-1), State(state.sentence, hidden)


def make_sentences(seed: int, batch: int = 3) -> Tensor:
    return torch.randn(batch, SIZE, generator=torch.Generator().manual_seed(100 + seed), dtype=torch.float64)


def next_log_probs(model: RandomModel, sentence: Tensor, tokens: tuple[int, ...]) -> list[float]:
    """log p(next | tokens), from the start, one row at a time."""
    state = model.start(sentence[None])
    log_probs = torch.empty(0)
    for token in (START, *tokens):
        log_probs, state = model.step(torch.tensor([token]), state)
    found: list[float] = log_probs[0].tolist()
    return found


def log_prob(model: RandomModel, sentence: Tensor, symbols: tuple[int, ...]) -> float:
    return sum(next_log_probs(model, sentence, symbols[:n])[symbol] for n, symbol in enumerate(symbols))


def rank(log_prob: float, length: int, alpha: float) -> float:
    """Wu et al. 2016, equation 14: log p / lp, lp = (5 + n)^alpha / (5 + 1)^alpha."""
    return log_prob / ((5 + length) ** alpha / (5 + 1) ** alpha)


def every_answer(model: RandomModel, sentence: Tensor, possible: int, limit: int, alpha: float) -> list[Hypothesis]:
    """All answers that end within the limit, best first, by enumeration."""
    others = [symbol for symbol in range(possible) if symbol != END]
    found = []
    for n in range(limit):
        for tokens in product(others, repeat=n):
            total = log_prob(model, sentence, (*tokens, END))
            found.append(Hypothesis(list(tokens), total, rank(total, n + 1, alpha)))
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def slow_beam(model: RandomModel, sentence: Tensor, limit: int, beam: int, alpha: float) -> list[Hypothesis]:
    """Beam search over one sentence with lists.

    At each step, candidates among the best `beam` that end are finished, and the best `beam` that do not end
    go on, up to the limit: to stop sooner must change nothing. A beam of 1 stops where it first ends.
    """
    alive: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    finished: list[Hypothesis] = []
    for length in range(1, limit + 1):
        candidates = [
            ((*tokens, symbol), total + more)
            for tokens, total in alive
            for symbol, more in enumerate(next_log_probs(model, sentence, tokens))
            if more > -math.inf
        ]
        candidates.sort(key=lambda candidate: -candidate[1])
        for (*tokens, last), total in candidates[:beam]:
            if last == END:
                finished.append(Hypothesis(tokens, total, rank(total, length, alpha)))
        alive = [candidate for candidate in candidates if candidate[0][-1] != END][:beam]
        if beam == 1 and finished:
            break
    if not finished:
        finished = [Hypothesis(list(tokens), total, rank(total, limit, alpha)) for tokens, total in alive]
    return sorted(finished, key=lambda hypothesis: -hypothesis.score)[:beam]


def greedy(model: RandomModel, sentence: Tensor, limit: int) -> tuple[list[int], float]:
    tokens: tuple[int, ...] = ()
    total = 0.0
    for _ in range(limit):
        log_probs = next_log_probs(model, sentence, tokens)
        symbol = max(range(len(log_probs)), key=log_probs.__getitem__)
        total += log_probs[symbol]
        if symbol == END:
            break
        tokens = (*tokens, symbol)
    return list(tokens), total


def assert_same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [hypothesis.tokens for hypothesis in found] == [hypothesis.tokens for hypothesis in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert math.isclose(ours.log_prob, theirs.log_prob, rel_tol=1e-12)
        assert math.isclose(ours.score, theirs.score, rel_tol=1e-12)


def test_the_length_penalty_is_that_of_the_paper() -> None:
    for length, alpha in product([1, 2, 7, 31], [0.0, 0.6, 1.0, 2.5]):
        assert math.isclose(normalised(-3.0, length, alpha), rank(-3.0, length, alpha), rel_tol=1e-14)
    assert normalised(-3.0, 31, 0.0) == -3.0
    assert normalised(-3.0, 1, 2.5) == -3.0


def test_the_model_of_these_tests_fits_the_contract() -> None:
    assert isinstance(RandomModel(0), SearchModel)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sufficiently_wide_beam_ranks_all_answers_exactly(seed: int, alpha: float) -> None:
    # with 4 symbols and up to 4 steps there are at most 4 x 27 candidates per step and 40 answers, so none is dropped
    possible, limit, beam = 4, 4, 4 * 27
    model, sentences = RandomModel(seed, possible, vocabulary=109), make_sentences(seed, batch=2)
    found = beam_search(model, sentences, torch.full((2,), limit), SYMBOLS, beam, alpha)
    for sentence, hypotheses in zip(sentences, found, strict=True):
        expected = every_answer(model, sentence, possible, limit, alpha)
        assert len(expected) == 40
        assert_same(hypotheses, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_larger_penalty_never_shortens_the_best_of_all_answers(seed: int) -> None:
    model, sentences = RandomModel(seed, 4, vocabulary=109), make_sentences(seed)
    limits = torch.full((3,), 4)
    lengths = [
        [len(hypotheses[0].tokens) for hypotheses in beam_search(model, sentences, limits, SYMBOLS, 108, alpha)]
        for alpha in (0.0, 0.5, 1.0, 2.0, 5.0)
    ]
    for shorter, longer in pairwise(lengths):
        assert all(a <= b for a, b in zip(shorter, longer, strict=True))
    assert lengths[0] != lengths[-1]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.5])
@pytest.mark.parametrize("beam", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_it_equals_its_slow_twin_which_never_stops_before_the_limit(seed: int, beam: int, alpha: float) -> None:
    model, sentences, limits = RandomModel(seed), make_sentences(seed), [11, 2, 5]
    expected = [slow_beam(model, *each, beam, alpha) for each in zip(sentences, limits, strict=True)]
    for count in range(1, beam + 1):
        found = beam_search(model, sentences, torch.tensor(limits), SYMBOLS, beam, alpha, count)
        for hypotheses, theirs in zip(found, expected, strict=True):
            assert_same(hypotheses, theirs[:count])


class Onwards(RandomModel):
    """Eight symbols, 0.9 for continuing and 0.05 for the end, up to the eighth step, where the end has 0.9."""

    def __init__(self) -> None:
        super().__init__(0, possible=11)
        self.steps = 0

    def start(self, encoded: Tensor) -> State:
        self.steps = 0
        return super().start(encoded)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        _, state = super().step(tokens, state)
        self.steps += 1
        rows = torch.full((len(tokens), self.vocabulary), 0.05 / 9, dtype=torch.float64)
        rows[:, 3], rows[:, END] = (0.05, 0.9) if self.steps > 7 else (0.9, 0.05)
        return rows.log(), state


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("beam", [1, 2, 3, 5])
def test_a_much_better_live_hypothesis_is_not_dropped(beam: int, alpha: float) -> None:
    """A regression test: the search stopped with a full set of finished hypotheses, and found the empty answer."""
    model, limit = Onwards(), torch.tensor([20])
    ((best, *_),) = beam_search(model, make_sentences(0, batch=1), limit, SYMBOLS, beam, alpha)
    assert best.tokens == [3] * 7
    assert math.isclose(best.log_prob, 8 * math.log(0.9), rel_tol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.5])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_answer_of_a_wide_beam_is_the_global_best(seed: int, alpha: float) -> None:
    possible, limit = 4, 4
    model, sentences = RandomModel(seed, possible, vocabulary=109), make_sentences(seed, batch=2)
    found = beam_search(model, sentences, torch.full((2,), limit), SYMBOLS, 4 * 27, alpha, count=1)
    for sentence, hypotheses in zip(sentences, found, strict=True):
        assert_same(hypotheses, every_answer(model, sentence, possible, limit, alpha)[:1])


def test_a_search_stops_when_no_live_hypothesis_can_win() -> None:
    # ending has a probability of 0.99 at once, so that a live hypothesis has at most log 0.01
    model, sentences = RandomModel(0, possible=5, ending=30.0), make_sentences(0)
    for alpha in (0.0, 0.6, 1.0):
        model.rows.clear()
        found = beam_search(model, sentences, torch.full((3,), 50), SYMBOLS, 5, alpha, count=1)
        assert [[hypothesis.tokens for hypothesis in each] for each in found] == [[[]]] * 3
        assert len(model.rows) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [({"count": 0}, "count must be from 1 to the beam, which is 5, not 0"), ({"count": 6}, "not 6"),
     ({"length_penalty": -0.1}, "length penalty must be at least 0"), ({"length_penalty": math.nan}, "not nan")],
)  # fmt: skip
def test_options_of_a_search_out_of_range_raise(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        beam_search(RandomModel(0), make_sentences(0), torch.full((3,), 7), SYMBOLS, **options)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_beam_of_one_is_greedy_search(seed: int) -> None:
    model, sentences = RandomModel(seed), make_sentences(seed, batch=7)
    found = beam_search(model, sentences, torch.full((7,), 11), SYMBOLS, beam=1)
    for sentence, hypotheses in zip(sentences, found, strict=True):
        tokens, total = greedy(model, sentence, 11)
        assert [hypothesis.tokens for hypothesis in hypotheses] == [tokens]
        assert math.isclose(hypotheses[0].log_prob, total, rel_tol=1e-12)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_batch_gives_the_same_answers_as_single_sentences(seed: int, beam: int) -> None:
    model, sentences, limits = RandomModel(seed), make_sentences(seed, batch=7), torch.tensor([7, 1, 5, 3, 11, 2, 13])
    together = beam_search(model, sentences, limits, SYMBOLS, beam)
    for i in range(7):
        (alone,) = beam_search(model, sentences[i : i + 1], limits[i : i + 1], SYMBOLS, beam)
        assert_same(together[i], alone)


def steps_taken(model: RandomModel, sentence: Tensor, limit: int) -> int:
    """The number of steps of a greedy search over one sentence: its symbols and the end, at most the limit."""
    return min(len(greedy(model, sentence, limit)[0]) + 1, limit)


def test_a_finished_sentence_leaves_the_batch() -> None:
    model, sentences, limits = RandomModel(0), make_sentences(0, batch=7), [7, 1, 5, 3, 11, 2, 13]
    taken = [steps_taken(model, sentence, limit) for sentence, limit in zip(sentences, limits, strict=True)]
    assert len(set(taken)) > 2
    model.rows.clear()
    beam_search(model, sentences, torch.tensor(limits), SYMBOLS, beam=1)
    assert model.rows == [sum(steps > t for steps in taken) for t in range(max(taken))]


def test_a_step_has_one_row_per_hypothesis_of_unfinished_sentences() -> None:
    model, limits = RandomModel(0, ending=-torch.inf), [3, 5, 2]
    beam_search(model, make_sentences(0), torch.tensor(limits), SYMBOLS, beam=4)
    assert model.rows == [3, 4 * 3, 4 * 2, 4, 4]  # one empty hypothesis per sentence


class Keeping(RandomModel):
    """Records the tensor that each step gets as its sentence."""

    def __init__(self) -> None:
        super().__init__(0, ending=-torch.inf)
        self.found: list[Tensor] = []

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        self.found.append(state.sentence.value)
        return super().step(tokens, state)


def test_constants_are_copied_only_when_a_sentence_leaves() -> None:
    model = Keeping()
    beam_search(model, make_sentences(0), torch.tensor([4, 4, 2]), SYMBOLS, beam=3)
    first, second, third, fourth = model.found
    assert first is second
    assert third is fourth
    assert (len(second), len(third)) == (3, 2)  # one row per sentence, not per hypothesis


@pytest.mark.parametrize("beam", [1, 3])
def test_unfinished_hypotheses_are_returned_at_the_limit(beam: int) -> None:
    model, sentences, limits = RandomModel(0, ending=-torch.inf), make_sentences(0), [3, 5, 2]
    found = beam_search(model, sentences, torch.tensor(limits), SYMBOLS, beam)
    for sentence, limit, hypotheses in zip(sentences, limits, found, strict=True):
        assert len(hypotheses) == beam
        for tokens, total, score in hypotheses:
            assert len(tokens) == limit
            assert END not in tokens
            assert math.isclose(total, log_prob(model, sentence, tuple(tokens)), rel_tol=1e-12)
            assert math.isclose(score, rank(total, limit, 0.6), rel_tol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_unfinished_hypotheses_are_dropped_if_any_is_finished(seed: int) -> None:
    model, sentences, limits = RandomModel(seed), make_sentences(seed, batch=7), torch.full((7,), 3)
    for sentence, hypotheses in zip(sentences, beam_search(model, sentences, limits, SYMBOLS, 5), strict=True):
        for tokens, total, _ in hypotheses:
            # including its end, so within the limit
            assert len(tokens) <= 2
            assert math.isclose(total, log_prob(model, sentence, (*tokens, END)), rel_tol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_hypotheses_are_returned_best_first_without_repeats(seed: int) -> None:
    model, sentences = RandomModel(seed), make_sentences(seed)
    for hypotheses in beam_search(model, sentences, torch.full((3,), 7), SYMBOLS, 5):
        assert 1 <= len(hypotheses) <= 5
        scores = [hypothesis.score for hypothesis in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(hypothesis.tokens) for hypothesis in hypotheses}) == len(hypotheses)


def test_a_beam_wider_than_the_vocabulary_raises() -> None:
    limits = torch.full((3,), 7)
    beam_search(RandomModel(0), make_sentences(0), limits, SYMBOLS, beam=5)
    with pytest.raises(InvalidInput, match="a beam of 6 is wider than the vocabulary of 5; use a beam of at most 5"):
        beam_search(RandomModel(0), make_sentences(0), limits, SYMBOLS, beam=6)


def test_an_empty_batch_has_no_answers() -> None:
    limits = torch.empty(0, dtype=torch.long)
    assert beam_search(RandomModel(0), make_sentences(0, batch=0), limits, SYMBOLS) == []
    assert sample(RandomModel(0), make_sentences(0, batch=0), limits, SYMBOLS) == []


class Watching(RandomModel):
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        assert not torch.is_grad_enabled()
        return super().step(tokens, state)


def test_a_search_builds_no_graph() -> None:
    limits = torch.full((3,), 5)
    beam_search(Watching(0), make_sentences(0), limits, SYMBOLS)
    sample(Watching(0), make_sentences(0), limits, SYMBOLS)
    assert torch.is_grad_enabled()


class Low(RandomModel):
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        log_probs, state = super().step(tokens, state)
        return log_probs.bfloat16(), state


@pytest.mark.unhooked  # its many small steps are slow with the hook
def test_bfloat16_log_probabilities_are_summed_in_float32() -> None:
    model, sentences = Low(0, ending=-torch.inf), make_sentences(0)
    for sentence, hypotheses in zip(
        sentences, beam_search(model, sentences, torch.full((3,), 61), SYMBOLS, 3), strict=True
    ):
        for tokens, total, _ in hypotheses:
            assert math.isclose(total, log_prob(model, sentence, tuple(tokens)), rel_tol=1e-5)


POSSIBLE, LIMIT, DRAWS = 3, 3, 20_000


def sampling_model() -> RandomModel:
    return RandomModel(1, POSSIBLE)


def every_draw(model: RandomModel, sentence: Tensor, temperature: float) -> dict[tuple[int, ...], float]:
    """The probability of sampling each answer at a temperature, including the end symbol if it occurred."""
    found: dict[tuple[int, ...], float] = {}

    def extend(symbols: tuple[int, ...], probability: float) -> None:
        if len(symbols) == LIMIT or symbols[-1:] == (END,):
            found[symbols] = probability
            return
        scaled = [math.exp(value / temperature) for value in next_log_probs(model, sentence, symbols)]
        for symbol, weight in enumerate(scaled):
            extend((*symbols, symbol), probability * weight / sum(scaled))

    extend((), 1.0)
    return found


def drawn_symbols(hypothesis: Hypothesis) -> tuple[int, ...]:
    """The sampled symbols with the end symbol, which answers do not include."""
    return (*hypothesis.tokens, END) if len(hypothesis.tokens) < LIMIT else tuple(hypothesis.tokens)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_answers_are_sampled_with_their_probabilities(temperature: float) -> None:
    model, sentence = sampling_model(), make_sentences(0)[0]
    generator = torch.Generator().manual_seed(3)
    hypotheses = sample(model, sentence.expand(DRAWS, -1), torch.full((DRAWS,), LIMIT), SYMBOLS, temperature, generator)
    counts = Counter(map(drawn_symbols, hypotheses))
    expected = every_draw(model, sentence, temperature)
    assert len(expected) == 15
    assert counts.keys() <= expected.keys()
    for symbols, probability in expected.items():
        # a binomial count leaves five standard deviations once in about a million
        bound = 5 * math.sqrt(DRAWS * probability * (1 - probability)) + 1
        assert abs(counts[symbols] - DRAWS * probability) < bound


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_the_log_probability_of_a_draw_is_the_models_own(temperature: float) -> None:
    model, sentences = sampling_model(), make_sentences(0, batch=31)
    hypotheses = sample(model, sentences, torch.full((31,), LIMIT), SYMBOLS, temperature)
    for sentence, hypothesis in zip(sentences, hypotheses, strict=True):
        expected = log_prob(model, sentence, drawn_symbols(hypothesis))
        assert math.isclose(hypothesis.log_prob, expected, rel_tol=1e-12)
        assert hypothesis.score == hypothesis.log_prob


def test_a_sample_is_reproducible_from_its_generator_without_using_the_global_one() -> None:
    model, sentences, limits = sampling_model(), make_sentences(0, batch=31), torch.full((31,), 7)
    before = torch.get_rng_state()
    first, second, other = (
        sample(model, sentences, limits, SYMBOLS, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 5)
    )
    assert first == second
    assert first != other
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_a_draw_is_reproducible_from_the_global_seed() -> None:
    model, sentences, limits = sampling_model(), make_sentences(0, batch=31), torch.full((31,), 7)
    drawn = []
    for seed in (3, 3, 5):
        torch.manual_seed(seed)
        drawn.append(sample(model, sentences, limits, SYMBOLS))
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_finished_samples_leave_the_batch() -> None:
    model, sentences, limits = RandomModel(0, ending=-torch.inf), make_sentences(0), [3, 5, 2]
    assert [len(drawn.tokens) for drawn in sample(model, sentences, torch.tensor(limits), SYMBOLS)] == limits
    assert model.rows == [3, 3, 2, 1, 1]
    ending = RandomModel(0, ending=1e3)
    drawn = sample(ending, sentences, torch.tensor(limits), SYMBOLS)
    assert [hypothesis.tokens for hypothesis in drawn] == [[], [], []]
    assert ending.rows == [3]


def test_sampling_at_a_low_temperature_is_greedy_search() -> None:
    model, sentences = RandomModel(0), make_sentences(0, batch=7)
    drawn = sample(model, sentences, torch.full((7,), 5), SYMBOLS, temperature=1e-3)
    assert [hypothesis.tokens for hypothesis in drawn] == [greedy(model, sentence, 5)[0] for sentence in sentences]


def test_each_row_is_drawn_from_its_own_distribution() -> None:
    probabilities = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.0, 0.1, 0.0, 0.9]])
    drawn = draw(probabilities.log().repeat(DRAWS, 1), torch.Generator().manual_seed(3)).view(DRAWS, 2)
    for row in range(2):
        for symbol, probability in enumerate(probabilities[row].tolist()):
            count = int((drawn[:, row] == symbol).sum())
            assert abs(count - DRAWS * probability) <= 5 * math.sqrt(DRAWS * probability * (1 - probability))


def test_answers_are_the_best_hypothesis_of_the_configured_beam() -> None:
    model, sentences, limits = RandomModel(0), make_sentences(0, batch=7), torch.full((7,), 7)
    given: dict[str, Any]
    found = {}
    for given in ({"beam": 1}, {"beam": 4, "length_penalty": 0.0}, {"beam": 4, "length_penalty": 5.0}):
        hypotheses = beam_search(model, sentences, limits, SYMBOLS, **({"length_penalty": 0.6} | given))
        found[str(given)] = answers(model, sentences, limits, SYMBOLS, SearchConfig(**given))
        assert found[str(given)] == [best.tokens for best, *_ in hypotheses]
    assert len({str(tokens) for tokens in found.values()}) == 3  # each option has its effect


def test_answers_may_be_drawn_at_the_configured_temperature_from_the_configured_seed() -> None:
    model, sentences, limits = RandomModel(0), make_sentences(0, batch=7), torch.full((7,), 7)
    found = []
    for seed in (3, 5):
        drawn = sample(model, sentences, limits, SYMBOLS, 3.0, torch.Generator().manual_seed(seed))
        options = SearchConfig(method="sample", temperature=3.0)
        found.append(answers(model, sentences, limits, SYMBOLS, options, seed))
        assert found[-1] == [hypothesis.tokens for hypothesis in drawn]
    assert found[0] != found[1]
    cold = answers(model, sentences, limits, SYMBOLS, SearchConfig(method="sample", temperature=1e-3))
    assert cold == [greedy(model, sentence, 7)[0] for sentence in sentences]


@pytest.mark.parametrize(
    "wrong",
    [{"beam": 0}, {"beam": 1001}, {"length_penalty": -0.1}, {"temperature": 0.0}, {"method": "best"}],
)
def test_options_out_of_range_raise(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SearchConfig(**wrong)
