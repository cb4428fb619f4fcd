"""Hard attention: its samples, and the exact expectation by enumeration of all choices of a small model."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.attention import AdditiveAttention
from saccade.attention.hard import Choices, HardAttention, SomeChoices
from saccade.attention.score_function import ScoreFunction
from saccade.core.errors import InvalidInput
from tests.checks import leaf, randomised

BATCH, KEYS, QUERY_SIZE, KEY_SIZE, WIDTH = 3, 5, 2, 7, 3
LENGTHS = [KEYS, 2, 0]
ESTIMATORS = ["score-function", "straight-through", "gumbel"]


def make(estimator: Any = "score-function", temperature: float = 1.0) -> HardAttention:
    return randomised(HardAttention(QUERY_SIZE, KEY_SIZE, WIDTH, estimator=estimator, temperature=temperature))


def soft_twin(attention: HardAttention) -> AdditiveAttention:
    soft = AdditiveAttention(QUERY_SIZE, KEY_SIZE, WIDTH).double()
    soft.load_state_dict(attention.state_dict())
    return soft


def make_inputs() -> tuple[Tensor, Tensor, Tensor]:
    mask = torch.arange(KEYS) < torch.tensor(LENGTHS)[:, None]
    return leaf(BATCH, QUERY_SIZE), leaf(BATCH, KEYS, KEY_SIZE), mask


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_it_reads_one_key_and_returns_its_log_probability(estimator: str) -> None:
    attention, (query, keys, mask) = make(estimator), make_inputs()
    prepared = attention.prepare(keys, mask)
    expected = soft_twin(attention).read(query, prepared).weights
    before = Choices(torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([4.0, 5.0, 6.0]).double())
    reading = attention.read(query, prepared, before)
    chosen = reading.weights.argmax(1)
    torch.testing.assert_close(reading.weights.sum(1), torch.tensor([1.0, 1.0, 0.0]).double())
    for row in range(2):
        torch.testing.assert_close(reading.context[row], keys[row, chosen[row]])
        log_prob = expected[row, chosen[row]].log()
        entropy = -sum(p * p.log() for p in expected[row, : LENGTHS[row]])
        torch.testing.assert_close(reading.state.log_prob[row], before.log_prob[row] + log_prob)
        torch.testing.assert_close(reading.state.entropy[row], before.entropy[row] + entropy)
    assert reading.state.log_prob[2] == 3.0
    assert reading.state.entropy[2] == 6.0
    assert not reading.context[2].any()


def slow_choice(attention: HardAttention, query: Tensor, keys: Tensor, chosen: list[int]) -> tuple[Tensor, ...]:
    """Context, log-probability and entropy of given choices, row by row and key by key (Xu et al. 2015, 4.1)."""
    weights, contexts = dict(attention.named_parameters()), []
    log_probs, entropies = [], []
    for row, length in enumerate(LENGTHS):
        scores = []
        for k in range(length):
            hidden = weights["query.weight"] @ query[row] + weights["key.weight"] @ keys[row, k] + weights["key.bias"]
            scores.append(weights["v"].flatten() @ torch.tanh(hidden))
        exponentials = [score.exp() for score in scores]
        shares = [exponential / sum(exponentials) for exponential in exponentials]
        contexts.append(keys[row, chosen[row]] if length else torch.zeros_like(keys[row, 0]))
        log_probs.append(shares[chosen[row]].log() if length else query.new_zeros(()))
        entropies.append(sum((-share * share.log() for share in shares), query.new_zeros(())))
    return torch.stack(contexts), torch.stack(log_probs), torch.stack(entropies)


def test_a_given_choice_equals_slow_loops_with_gradients() -> None:
    attention, (query, keys, mask), chosen = make(), make_inputs(), [3, 1, 0]
    prepared = attention.prepare(keys, mask)
    reading = attention.read(query, prepared, attention.initial_state(prepared), choice=torch.tensor(chosen))
    ours = (reading.context, reading.state.log_prob, reading.state.entropy)
    theirs = slow_choice(attention, query, keys, chosen)
    leaves = [query, keys, *attention.parameters()]
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        slope = torch.randn_like(expected)
        one, other = (
            torch.autograd.grad(of, leaves, slope, retain_graph=True, allow_unused=True, materialize_grads=True)
            for of in (found, expected)
        )
        for mine, slow in zip(one, other, strict=True):
            torch.testing.assert_close(mine, slow, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_draws_have_the_frequencies_of_the_weights(estimator: str) -> None:
    attention, draws = make(estimator, temperature=0.3), 20_000
    query, keys, mask = (x[:1] for x in make_inputs())
    prepared = attention.prepare(keys.expand(draws, -1, -1), mask.expand(draws, -1))
    generator = torch.Generator().manual_seed(1)
    reading = attention.read(query.expand(draws, -1), prepared, attention.initial_state(prepared), generator)
    expected = soft_twin(attention).read(query, attention.prepare(keys, mask)).weights[0]
    error = (expected * (1 - expected) / draws).sqrt()
    assert ((reading.weights.mean(0) - expected).abs() < 4 * error).all()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_without_keys_there_is_no_choice(estimator: str, training: bool) -> None:
    attention, query = make(estimator).train(training), leaf(BATCH, QUERY_SIZE)
    prepared = attention.prepare(leaf(BATCH, 0, KEY_SIZE))
    reading = attention.read(query, prepared, attention.initial_state(prepared))
    assert reading.weights.shape == (BATCH, 0)
    assert torch.equal(reading.context, torch.zeros(BATCH, KEY_SIZE, dtype=torch.float64))
    assert not reading.state.log_prob.any()
    assert not reading.state.entropy.any()


def test_a_seed_determines_the_draw_and_evaluation_selects_the_most_probable_key() -> None:
    attention, (query, keys, mask) = make(), make_inputs()
    prepared = attention.prepare(keys.repeat(50, 1, 1), mask.repeat(50, 1))
    arguments = (query.repeat(50, 1), prepared, attention.initial_state(prepared))
    first, again, other = (
        attention.read(*arguments, torch.Generator().manual_seed(seed)).weights for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    likeliest = soft_twin(attention).read(query, attention.prepare(keys, mask)).weights.argmax(1)
    once = attention.prepare(keys, mask)
    found = attention.eval().read(query, once, attention.initial_state(once))
    assert found.weights.argmax(1).tolist()[:2] == likeliest.tolist()[:2]


def test_straight_through_has_the_gradient_of_the_soft_context() -> None:
    attention, (query, keys, mask) = make("straight-through"), make_inputs()
    prepared = attention.prepare(keys, mask, keys.detach())
    hard = attention.read(query, prepared, attention.initial_state(prepared)).context
    soft = soft_twin(attention).read(query, prepared).context
    slopes = torch.randn_like(hard)
    for ours, theirs in zip(
        *(torch.autograd.grad(c, [query, keys], slopes, retain_graph=True) for c in (hard, soft)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_gumbel_choice_has_the_gradient_of_its_relaxation() -> None:
    attention, (query, keys, mask) = make("gumbel", temperature=0.7), make_inputs()
    query, keys, mask = query[:2], keys[:2], mask[:2]  # with nothing to attend the logarithm is undefined
    prepared, generator = attention.prepare(keys, mask), torch.Generator().manual_seed(3)
    noise = attention._noise(torch.empty(2, KEYS, dtype=torch.float64), torch.Generator().manual_seed(3))
    log_weights = soft_twin(attention).read(query, prepared).weights.clamp(min=1e-300).log().masked_fill(~mask, -1e9)
    relaxed = ((log_weights + noise) / 0.7).softmax(1)
    hard = attention.read(query, prepared, attention.initial_state(prepared), generator).weights
    slopes = torch.randn_like(hard)
    for ours, theirs in zip(
        *(torch.autograd.grad(w, [query, keys], slopes, retain_graph=True) for w in (hard, relaxed)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_cold_gumbel_choice_is_its_own_relaxation() -> None:
    attention, (query, keys, mask) = make("gumbel", temperature=1e-3), make_inputs()
    prepared, generator = attention.prepare(keys, mask), torch.Generator().manual_seed(3)
    noise = attention._noise(torch.empty(BATCH, KEYS, dtype=torch.float64), torch.Generator().manual_seed(3))
    log_weights = soft_twin(attention).read(query, prepared).weights.log()
    reading = attention.read(query, prepared, attention.initial_state(prepared), generator)
    relaxed = ((log_weights + noise)[:2] / 1e-3).softmax(1)
    torch.testing.assert_close(reading.weights[:2], relaxed, rtol=0, atol=1e-6)


class Captioner(nn.Module):
    """Two reads, where the first changes the second query, and then a word: p(y | a) depends on the contexts."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = make()
        self.start = nn.Parameter(torch.randn(1, QUERY_SIZE))
        self.next = nn.Linear(KEY_SIZE, QUERY_SIZE)
        self.word = nn.Linear(KEY_SIZE, 4)
        randomised(self)

    def forward(self, keys: Tensor, word: int, choices: Tensor | None = None) -> tuple[Tensor, Choices]:
        """log p(y | a) and the choices a (b, 2), for (b, k, d) copies of one scene."""
        prepared = self.attention.prepare(keys)
        state, query, seen = self.attention.initial_state(prepared), self.start.expand(len(keys), -1), 0
        for t in range(2):
            choice = None if choices is None else choices[:, t]
            context, _, state = self.attention.read(query, prepared, state, choice=choice)
            query, seen = torch.tanh(self.next(context)), seen + context
        return self.word(seen).log_softmax(1)[:, word], state


def every_choice() -> Tensor:
    return torch.tensor(list(itertools.product(range(KEYS), repeat=2)))


def gradients(of: Tensor, model: nn.Module) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(of, list(model.parameters()), retain_graph=True)])


def test_choices_are_a_distribution_and_the_bound_is_below_the_likelihood() -> None:
    model, keys = Captioner(), leaf(1, KEYS, KEY_SIZE)
    log_likelihood, choices = model(keys.expand(KEYS**2, -1, -1), 1, every_choice())
    probability = choices.log_prob.exp()
    assert math.isclose(probability.sum().item(), 1, rel_tol=1e-12)
    bound, likelihood = (probability * log_likelihood).sum(), (probability * log_likelihood.exp()).sum().log()
    assert bound < likelihood
    # if all keys are equal, the choice has no effect, and the bound is the likelihood
    log_likelihood, choices = model(keys[:, :1].expand(KEYS**2, KEYS, -1), 1, every_choice())
    probability = choices.log_prob.exp()
    bound, likelihood = (probability * log_likelihood).sum(), (probability * log_likelihood.exp()).sum().log()
    torch.testing.assert_close(bound, likelihood)


@pytest.mark.parametrize("baseline", [0.0, -1.7])
def test_the_mean_of_the_estimate_over_all_choices_is_the_exact_gradient(baseline: float) -> None:
    model, keys, score = Captioner(), leaf(1, KEYS, KEY_SIZE), ScoreFunction("moving", reward_weight=1.0)
    score.eval().mean.fill_(baseline)
    log_likelihood, choices = model(keys.expand(KEYS**2, -1, -1), 1, every_choice())
    probability = choices.log_prob.exp()
    exact = gradients((probability * log_likelihood).sum(), model)
    estimate = log_likelihood - score(log_likelihood, choices.log_prob)
    torch.testing.assert_close(gradients((probability.detach() * estimate).sum(), model), exact, rtol=1e-10, atol=1e-12)


def test_sampled_estimates_are_unbiased_and_a_baseline_reduces_their_variance() -> None:
    torch.manual_seed(5)
    model, keys, draws = Captioner(), leaf(1, KEYS, KEY_SIZE), 2000
    log_likelihood, choices = model(keys.expand(KEYS**2, -1, -1), 1, every_choice())
    probability = choices.log_prob.exp()
    bound = (probability * log_likelihood).sum()
    exact = gradients(bound, model)
    learned = ScoreFunction("learned", features=2).double()
    variances = {}
    for name, score in {"none": ScoreFunction("none"), "moving": ScoreFunction("moving"), "learned": learned}.items():
        if name != "none":
            score.mean.fill_(bound.item())
            score.variance.fill_(0.25)
            score.seen.fill_(True)
        if score.predict is not None:  # half a unit off for any sample
            score.predict.bias.data.fill_(1.0)
        reward, drawn = model(keys.expand(draws, -1, -1), 1)
        error = reward.std() / math.sqrt(draws)
        assert abs(reward.mean() - bound) <= 4.5 * error
        features = None if score.predict is None else torch.ones(draws, 2, dtype=torch.float64)
        estimates = reward - score.eval()(reward, drawn.log_prob, features=features)
        every = torch.stack([gradients(one, model) for one in estimates[:500]])
        error = every.std(0) / math.sqrt(len(every))
        away = (every.mean(0) - exact).abs()
        assert (away <= 4.5 * error + 1e-12).all()
        variances[name] = float(every.var(0).sum())
    assert variances["moving"] < variances["learned"] < variances["none"]


def test_without_a_baseline_there_is_no_state() -> None:
    score, log_probs, rewards = ScoreFunction("none"), leaf(2), torch.tensor([2.0, 6.0]).double()
    for _ in range(2):
        torch.testing.assert_close(score(rewards, log_probs), -rewards * log_probs)
    assert not score.state_dict()


def test_a_moving_baseline_is_used_before_it_moves() -> None:
    score, log_probs = ScoreFunction("moving", decay=0.75), leaf(2)
    first = score(torch.tensor([2.0, 6.0]).double(), log_probs)
    torch.testing.assert_close(first, -torch.tensor([2.0, 6.0]).double() * log_probs)
    assert score.mean == 4.0
    second = score(torch.tensor([8.0, 8.0]).double(), log_probs)
    torch.testing.assert_close(second, -4.0 * log_probs)
    assert score.mean == 0.75 * 4.0 + 0.25 * 8.0
    score.eval()(torch.tensor([100.0, 100.0]).double(), log_probs)
    assert score.mean == 5.0
    nothing = torch.zeros(0).double()
    assert not score.train()(nothing, nothing).numel()
    assert score.mean == 5.0
    assert set(score.state_dict()) == {"mean", "variance", "seen"}


def test_a_decay_is_as_exact_as_the_module() -> None:
    score = ScoreFunction("moving", decay=0.9).double()
    score(torch.tensor([2.0]).double(), leaf(1))
    score(torch.tensor([8.0]).double(), leaf(1))
    assert float(score.mean) == 0.9 * 2.0 + (1 - 0.9) * 8.0  # in float32 the decay is off by 2e-8


def test_the_baseline_of_a_sum_is_the_mean_times_the_number_of_terms() -> None:
    score, log_probs, terms = ScoreFunction("moving", decay=0.75), leaf(3), torch.tensor([3.0, 2.0, 1.0]).double()
    score(torch.tensor([-8.0, -3.0, -1.0]).double(), log_probs, terms=terms)
    assert score.mean == -2.0  # 12 nats of 6 words
    assert float(score.variance) == pytest.approx((4 + 1 + 1) / 3)
    second = score(-2 * terms, log_probs, terms=terms)
    assert not second.any()  # differences due to the lengths vanish


def test_a_learned_baseline_learns_rewards_of_any_scale_and_passes_no_gradient() -> None:
    for unit in (1.0, 1e4):
        score, features, log_probs = ScoreFunction("learned", features=3).double(), leaf(64, 3), leaf(64)
        rewards = unit * (features.detach() @ torch.tensor([1.0, -2.0, 0.5]).double() + 3.0)
        optimizer = torch.optim.SGD(score.parameters(), lr=0.1)
        for step in range(300):
            optimizer.zero_grad()
            surrogate = score(rewards, torch.zeros(64).double(), features=features).mean()
            if step:  # the deviation is known from the second step on
                surrogate.backward()
            optimizer.step()
            assert score.predict is not None
            assert not step or score.predict.weight.grad.norm() < 10
        assert features.grad is None
        left = -torch.autograd.grad(score(rewards, log_probs, features=features).sum(), log_probs)[0]
        assert left.abs().max() < 1e-3 * unit
        with pytest.raises(InvalidInput, match="needs features"):
            score(rewards, log_probs)


@pytest.mark.unhooked
def test_shapes_that_would_be_broadcast_raise() -> None:
    with pytest.raises(InvalidInput, match=r"shape of the log-probabilities, \(3, 1\), not \(3,\)"):
        ScoreFunction("none")(torch.zeros(3), torch.zeros(3, 1))
    with pytest.raises(InvalidInput, match=r"shape of the rewards, \(3,\), not \(1,\)"):
        ScoreFunction("none")(torch.zeros(3), torch.zeros(3), terms=torch.ones(1))


@pytest.mark.parametrize("reward", [-math.inf, math.inf, math.nan])
def test_a_reward_that_is_not_finite_raises_and_leaves_the_mean_unchanged(reward: float) -> None:
    score, log_probs = ScoreFunction("moving"), leaf(2)
    score(torch.tensor([2.0, 6.0]).double(), log_probs)
    with pytest.raises(InvalidInput, match=rf"rewards must be finite, but the one at \(1,\) is {reward}"):
        score(torch.tensor([1.0, reward]).double(), log_probs)
    assert score.mean == 4.0


def test_the_terms_are_weighted() -> None:
    score = ScoreFunction("none", reward_weight=0.5, entropy_weight=0.1)
    rewards, log_probs, entropies = leaf(3), leaf(3), leaf(3)
    surrogate = score(rewards, log_probs, entropies)
    torch.testing.assert_close(surrogate, -0.5 * rewards * log_probs - 0.1 * entropies)
    rewarded, _ = torch.autograd.grad(surrogate.sum(), [rewards, log_probs], allow_unused=True)
    assert rewarded is None


@pytest.mark.unhooked
def test_a_baseline_and_features_that_do_not_fit_raise() -> None:
    with pytest.raises(InvalidInput, match="features for a learned baseline, and only for it"):
        ScoreFunction("learned")
    with pytest.raises(InvalidInput, match="features for a learned baseline, and only for it"):
        ScoreFunction("moving", features=3)
    with pytest.raises(InvalidInput, match="none, moving or learned, not 'movng'"):
        ScoreFunction("movng")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"decay": 1.0}, "a decay must be at least 0 and below 1, not 1"),
        ({"reward_weight": math.nan}, "the weight of the reward must be at least 0 and finite, not nan"),
        ({"entropy_weight": -1.0}, "the weight of the entropy must be at least 0 and finite, not -1"),
    ],
)
def test_settings_of_an_estimate_out_of_range_raise(options: dict[str, float], match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        ScoreFunction("moving", **options)  # type: ignore[arg-type]


def test_rewards_without_terms_leave_the_mean_unchanged() -> None:
    score = ScoreFunction("moving")
    score(torch.zeros(2).double(), leaf(2), terms=torch.zeros(2).double())
    assert score.mean == 0
    assert not score.seen


@pytest.mark.unhooked
def test_several_queries_at_once_and_invalid_settings_raise() -> None:
    attention, (query, keys, mask) = make(), make_inputs()
    with pytest.raises(InvalidInput, match="one query at a time"):
        attention(query[:, None], keys)
    prepared = attention.prepare(keys, mask)
    with pytest.raises(InvalidInput, match="one query per sequence"):
        attention.read(query[:, None], prepared, attention.initial_state(prepared))
    with pytest.raises(InvalidInput, match="score-function, straight-through, gumbel, not 'straight_through'"):
        make("straight_through")
    with pytest.raises(InvalidInput, match="above 0, not 0"):
        make("gumbel", temperature=0.0)


def test_a_masked_key_cannot_be_chosen() -> None:
    attention, (query, keys, mask) = make(), make_inputs()
    prepared = attention.prepare(keys, mask)
    state = attention.initial_state(prepared)
    probabilities = [
        attention.read(query, prepared, state, choice=torch.full((BATCH,), k)).state.log_prob.exp() for k in range(KEYS)
    ]
    torch.testing.assert_close(torch.stack(probabilities)[:, :2].sum(0), torch.ones(2).double())
    assert not torch.stack(probabilities).mT[:2][~mask[:2]].any()


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("choice", "match"),
    [
        ([5, 0, 0], "sequence 0 cannot choose key 5 of 5"),
        ([0, 0, -1], "sequence 2 cannot choose key -1"),
        ([0, 0], r"choices must be \(3,\), one per sequence, not \(2,\)"),
    ],
)
def test_an_impossible_choice_raises(choice: list[int], match: str) -> None:
    attention, (query, keys, mask) = make(), make_inputs()
    prepared = attention.prepare(keys, mask)
    with pytest.raises(InvalidInput, match=match):
        attention.read(query, prepared, attention.initial_state(prepared), choice=torch.tensor(choice))


def test_sequences_that_do_not_choose_read_expected_contexts_without_a_log_probability() -> None:
    attention = randomised(HardAttention(QUERY_SIZE, KEY_SIZE, WIDTH, soft=0.5))
    query, keys, mask = (x[:1].expand(64, *x.shape[1:]) for x in make_inputs())
    prepared, generator = attention.prepare(keys, mask), torch.Generator().manual_seed(1)
    state = attention.initial_state(prepared, generator)
    assert isinstance(state, SomeChoices)
    assert 0 < int(state.sampled.sum()) < 64
    again = attention.initial_state(prepared, torch.Generator().manual_seed(1))
    assert torch.equal(again.sampled, state.sampled)  # type: ignore[union-attr]
    reading = attention.read(query, prepared, state, generator)
    soft = soft_twin(attention).read(query, prepared)
    rest = ~state.sampled
    torch.testing.assert_close(reading.context[rest], soft.context[rest], rtol=1e-13, atol=1e-13)
    assert (reading.weights[state.sampled].amax(1) == 1).all()
    assert not reading.state.log_prob[rest].any()
    assert (reading.state.log_prob[state.sampled] < 0).all()
    assert torch.equal(reading.state.sampled, state.sampled)
    assert isinstance(attention.eval().initial_state(prepared), Choices)


@pytest.mark.parametrize("soft", [-0.1, 1.5])
def test_a_probability_of_expected_contexts_is_from_0_to_1(soft: float) -> None:
    with pytest.raises(InvalidInput, match="must be from 0 to 1, not"):
        HardAttention(QUERY_SIZE, KEY_SIZE, WIDTH, soft=soft)


def test_a_choice_is_rewarded_with_what_follows_or_with_the_whole() -> None:
    rewards = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 0.0]])
    assert ScoreFunction().summed(rewards).tolist() == [[7, 6, 4], [24, 16, 0]]
    assert ScoreFunction(reward="whole").summed(rewards).tolist() == [[7, 7, 7], [24, 24, 24]]


@pytest.mark.unhooked
def test_another_reward_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a reward must be following or whole, not 'best'"):
        ScoreFunction(reward="best")  # type: ignore[arg-type]
