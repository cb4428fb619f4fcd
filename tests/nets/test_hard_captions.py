"""Hard attention in a decoder of captions, on all 27 paths of three regions and three words, in float64.

    L_s = E[log p(y | s, a)] <= log p(y | a),   s a path: the region of each word; a annotations, y the words

What an update uses is a sample of an estimate. Here each path's estimate is weighted with the path's probability, so
its mean and variance are exact, and the samples that training draws are compared with them.
"""

import itertools
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from saccade.attention.hard import Choices
from saccade.nets.attention_choice import Additive, Hard, ScoreFunctionGradient
from saccade.nets.caption_decoder import CaptionDecoder, CaptionDecoderConfig
from saccade.nets.choices import ChosenProjection, each_choice
from saccade.nets.projection import Projection
from tests.checks import randomised

REGIONS, STEPS, WORDS, ANNOTATION, PAD = 3, 3, 7, 5, -1
PATHS = torch.tensor(list(itertools.product(range(REGIONS), repeat=STEPS)))
INPUTS, TARGETS = torch.tensor([[0, 3, 5]]), torch.tensor([[3, 5, 1]])
PLAIN = ScoreFunctionGradient(baseline="none", reward_weight=1.0, entropy_weight=0.0, reward="whole")
CONFIG = CaptionDecoderConfig(
    attention=Hard(attention_size=2, estimator=PLAIN), embedding_size=2, hidden_size=3, dropout=0.0
)
both_orders = pytest.mark.parametrize("order", ["look-first", "step-first"])


def make(order: Any = "look-first", soft: float = 0.0, **options: Any) -> tuple[CaptionDecoder, Tensor]:
    torch.manual_seed(5)
    attention = Hard(attention_size=2, estimator=replace(PLAIN, **options), soft=soft)
    decoder = randomised(CaptionDecoder(replace(CONFIG, attention=attention, order=order), WORDS, ANNOTATION), 0.8)
    score = decoder.score_function
    assert score is not None
    if score.baseline == "moving":
        score.mean.fill_(-2.0)  # about what a word costs here
        score.seen.fill_(True)
    return decoder, torch.randn(1, REGIONS, ANNOTATION, dtype=torch.float64)


class Along(NamedTuple):
    """All paths, one a row."""

    chosen: ChosenProjection
    words: Tensor
    """log p(y_t | s, a), (27, 3)."""
    path: Tensor
    """log p(s | a), (27,)."""

    @property
    def bound(self) -> Tensor:
        return (self.path.exp() * self.words.sum(1)).sum()


def along(decoder: CaptionDecoder, annotations: Tensor) -> Along:
    """The decoder with given choices, step by step."""
    rows, recurrent = len(PATHS), decoder.recurrent
    state = decoder.start(annotations.expand(rows, -1, -1))
    prepared, (own, *_, memory) = state.prepared.value, state.decoder
    memory = Choices(memory.log_prob, memory.entropy)  # every row chooses
    embedded, context = decoder.embedding(INPUTS.expand(rows, -1)), torch.zeros(rows, ANNOTATION).double()
    features, asked, memories = [], [], []
    for t in range(STEPS):
        if decoder.order == "step-first":
            own = recurrent.update(embedded[:, t], context, own)
        asked.append(own.hidden)
        context, _, memory = recurrent.mechanism.read(own.hidden, prepared, memory, choice=PATHS[:, t])
        if decoder.order == "look-first":
            own = recurrent.update(embedded[:, t], context, own)
        features.append(decoder.readout(embedded[:, t], own.hidden, context).features)
        memories.append(memory)
    output = decoder.readout.output
    projection = Projection(torch.stack(features, 1), output.weight, output.bias)
    assert decoder.score_function is not None
    chosen = ChosenProjection(projection, each_choice(tuple(memories)), torch.stack(asked, 1), decoder.score_function)
    words = projection.log_probs().gather(2, TARGETS.expand(rows, -1)[..., None])[..., 0]
    return Along(chosen, words, memory.log_prob)


def weights_of(decoder: CaptionDecoder) -> list[Tensor]:
    """The weights of the decoder, without those of a learned baseline."""
    return [weight for name, weight in decoder.named_parameters() if not name.startswith("score_function")]


def flat(slopes: Any) -> Tensor:
    return torch.cat([slope.flatten() for slope in slopes])


def gradient(value: Tensor, decoder: CaptionDecoder) -> Tensor:
    return flat(torch.autograd.grad(value, weights_of(decoder), retain_graph=True, materialize_grads=True))


def estimates(decoder: CaptionDecoder, annotations: Tensor) -> tuple[Tensor, Tensor]:
    """The estimate of the gradient of L_s on each path (27, p), and the path's probability."""
    found, slopes = along(decoder, annotations), []
    assert decoder.score_function is not None
    before = {name: value.clone() for name, value in decoder.score_function.state_dict().items()}
    for row in range(len(PATHS)):
        one = slice(row, row + 1)
        projection, choices, known, score = found.chosen
        alone = ChosenProjection(
            projection._replace(features=projection.features[one]),
            type(choices)(*(part[one] for part in choices)),
            known[one],
            score,
        )
        slopes.append(gradient(-STEPS * alone.cross_entropy(TARGETS, PAD), decoder))
        score.load_state_dict(before)  # as if each path were drawn at this moment of the training
    return torch.stack(slopes), found.path.exp().detach()


def variance(slopes: Tensor, shares: Tensor) -> float:
    """The expected squared distance of an estimate from the mean."""
    mean = shares @ slopes
    return float(shares @ (slopes - mean).square().sum(1))


@both_orders
def test_the_bound_is_below_the_likelihood(order: Any) -> None:
    found = along(*make(order))
    assert found.path.exp().sum().item() == pytest.approx(1, abs=1e-14)
    likelihood = (found.path + found.words.sum(1)).logsumexp(0)
    assert found.bound < likelihood < found.bound + 1


@both_orders
@pytest.mark.parametrize("reward", ["whole", "following"])
@pytest.mark.parametrize("baseline", ["none", "moving", "learned"])
def test_the_mean_estimate_is_the_exact_gradient(order: Any, reward: Any, baseline: Any) -> None:
    decoder, annotations = make(order, reward=reward, baseline=baseline)
    exact = gradient(along(decoder, annotations).bound, decoder)
    slopes, shares = estimates(decoder, annotations)
    torch.testing.assert_close(shares @ slopes, exact, rtol=1e-10, atol=1e-12)


def test_weights_of_reward_and_entropy_scale_their_terms() -> None:
    decoder, annotations = make(reward_weight=0.3, entropy_weight=0.2)
    slopes, shares = estimates(decoder, annotations)
    found = along(decoder, annotations)
    words, entropy = found.words.sum(1), found.chosen.choices.entropy.sum(1)
    fixed = found.path.exp().detach()
    direct = (fixed * words).sum()
    scored = (fixed * words.detach() * found.path).sum()
    expected = gradient(direct + 0.3 * scored + 0.2 * (fixed * entropy).sum(), decoder)
    torch.testing.assert_close(shares @ slopes, expected, rtol=1e-10, atol=1e-12)


def soft_slope(decoder: CaptionDecoder, annotations: Tensor, order: Any) -> tuple[Tensor, Tensor]:
    """The gradient of log p(y | expected contexts), and its value."""
    config = replace(CONFIG, attention=Additive(attention_size=2), order=order)
    soft = CaptionDecoder(config, WORDS, ANNOTATION).double()
    soft.load_state_dict(decoder.state_dict(), strict=False)
    value = -STEPS * soft(INPUTS, soft.start(annotations)).projection.cross_entropy(TARGETS, PAD)
    return gradient(value, soft), value


TRICKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "moving baseline": {"baseline": "moving"},
    "what follows": {"reward": "following"},
    "both": {"baseline": "moving", "reward": "following"},
    "lambda_r = 0.3": {"reward_weight": 0.3},
    "half soft": {"soft": 0.5},
    "entropy": {"entropy_weight": 0.1},
    "both, half soft": {"baseline": "moving", "reward": "following", "soft": 0.5},
}


def spread(name: str, order: Any) -> float:
    options = TRICKS[name]
    decoder, annotations = make(order, **options)
    slopes, shares = estimates(decoder, annotations)
    if soft := options.get("soft", 0.0):  # with that probability the estimate is one gradient, without noise
        slopes = torch.cat([slopes, soft_slope(decoder, annotations, order)[0][None]])
        shares = torch.cat([(1 - soft) * shares, shares.new_tensor([soft])])
    return variance(slopes, shares)


@both_orders
def test_each_trick_but_the_entropy_lowers_the_variance(order: Any) -> None:
    found = {name: spread(name, order) for name in TRICKS}
    assert found["moving baseline"] < found["plain"] / 2
    assert max(found["what follows"], found["half soft"]) < found["plain"] / 1.8
    assert max(found["both"], found["lambda_r = 0.3"]) < found["plain"] / 4
    assert found["both, half soft"] < 0.6 * found["both"]
    assert found["entropy"] == pytest.approx(found["plain"], rel=1e-3)  # for exploring, not for the variance


@both_orders
@pytest.mark.parametrize("name", list(TRICKS))
def test_the_mean_of_samples_lies_within_its_confidence_interval(name: str, order: Any) -> None:
    draws, options = 20_000, TRICKS[name]
    decoder, annotations = make(order, **options)
    slopes, shares = estimates(decoder, annotations)
    if soft := options.get("soft", 0.0):
        slopes = torch.cat([slopes, soft_slope(decoder, annotations, order)[0][None]])
        shares = torch.cat([(1 - soft) * shares, shares.new_tensor([soft])])
    mean = shares @ slopes
    error = (shares @ (slopes - mean).square() / draws).sqrt()
    torch.manual_seed(7)
    predicted = decoder(INPUTS.expand(draws, -1), decoder.start(annotations.expand(draws, -1, -1)))
    loss = predicted.projection.cross_entropy(TARGETS.expand(draws, -1), PAD)
    drawn = -STEPS * gradient(loss, decoder)
    assert ((drawn - mean).abs() <= 4.5 * error + 1e-12).all()
    if soft:
        share = (predicted.weights.max(-1).values == 1).all(-1).double().mean()
        assert abs(float(share) - 0.5) < 4 * (0.25 / draws) ** 0.5


@both_orders
def test_all_expected_contexts_are_soft_attention(order: Any) -> None:
    decoder, annotations = make(order, soft=1.0)
    predicted = decoder(INPUTS, decoder.start(annotations))
    loss = predicted.projection.cross_entropy(TARGETS, PAD)
    slope, value = soft_slope(decoder, annotations, order)
    torch.testing.assert_close(-STEPS * loss, value, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(-STEPS * gradient(loss, decoder), slope, rtol=1e-11, atol=1e-13)


def test_evaluation_chooses_always() -> None:
    decoder, annotations = make(soft=1.0)
    predicted = decoder.eval()(INPUTS, decoder.start(annotations))
    assert (predicted.weights.max(-1).values == 1).all()
