from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.attention import AdditiveAttention
from saccade.attention.location_aware import LastWeights, LocationAwareAttention
from saccade.core.errors import InvalidInput
from tests.checks import assert_twins, leaf, randomised

BATCH, STEPS, KEYS, QUERY_SIZE, KEY_SIZE, WIDTH, FILTERS, FILTER_WIDTH = 3, 5, 11, 7, 13, 3, 2, 5
LENGTHS = [KEYS, 4, 0]


def make(**options: Any) -> LocationAwareAttention:
    return randomised(
        LocationAwareAttention(QUERY_SIZE, KEY_SIZE, WIDTH, filters=FILTERS, filter_width=FILTER_WIDTH, **options)
    )


def make_inputs() -> tuple[Tensor, Tensor, Tensor]:
    mask = torch.arange(KEYS) < torch.tensor(LENGTHS)[:, None]
    return leaf(BATCH, STEPS, QUERY_SIZE), leaf(BATCH, KEYS, KEY_SIZE), mask


def looks(attention: LocationAwareAttention, query: Tensor, keys: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    prepared = attention.prepare(keys, mask)
    state, found = attention.initial_state(prepared), []
    for q in query.unbind(1):
        reading = attention.read(q, prepared, state)
        state = reading.state
        found.append((reading.context, reading.weights))
    contexts, weights = zip(*found, strict=True)
    return torch.stack(contexts, 1), torch.stack(weights, 1)


def slow(attention: LocationAwareAttention, query: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """One number at a time; sharpening and window as in evaluation."""
    W, V = attention.query.weight, attention.location.weight
    if attention.key is None:
        assert attention.bias is not None
        U, b = torch.zeros(WIDTH, KEY_SIZE, dtype=torch.float64), attention.bias
    else:
        U, b = attention.key.weight, attention.key.bias
    F, v, half = attention.filters.weight[:, 0], attention.v, FILTER_WIDTH // 2
    contexts, weights = [], []
    for b_, length in enumerate(LENGTHS):
        last = [torch.tensor(float(k == 0), dtype=torch.float64) for k in range(KEYS)]
        for q in query[b_]:
            before = [sum(last[: k + 1]).item() for k in range(KEYS)]
            median = next((k for k in range(KEYS) if before[k] >= 0.5 * before[-1]), 0)
            row = []
            for k in range(KEYS):
                f = [
                    sum(F[i, j] * last[k + j - half] for j in range(FILTER_WIDTH) if 0 <= k + j - half < KEYS)
                    for i in range(FILTERS)
                ]
                energy = sum(
                    v[a] * torch.tanh(
                        W[a] @ q + U[a] @ keys[b_, k] + b[a] + sum(V[a, i] * f[i] for i in range(FILTERS))
                    ) for a in range(WIDTH)
                )  # fmt: skip
                if not attention.training:
                    energy = attention.sharpening * energy
                allowed = k < length
                if attention.window is not None and not attention.training:
                    allowed = allowed and median - attention.window <= k < median + attention.window
                mass = torch.sigmoid(energy) if attention.smoothing else torch.exp(energy)
                row.append(mass if allowed else 0 * mass)
            total = sum(row)
            last = [mass / total if total.item() else mass for mass in row]
            weights.append(torch.stack(last))
            contexts.append(sum(w * key for w, key in zip(last, keys[b_], strict=True)))
    return torch.stack(contexts).view(BATCH, STEPS, -1), torch.stack(weights).view(BATCH, STEPS, -1)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"smoothing": True},
    {"sharpening": 2.0},
    {"window": 2},
    {"window": 1, "smoothing": True},
    {"content": False},
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_equals_its_slow_twin(options: dict[str, Any], training: bool) -> None:
    attention, (query, keys, mask) = make(**options).train(training), make_inputs()
    wrt = [query, keys, *attention.parameters()]
    assert_twins(lambda: looks(attention, query, keys, mask), lambda: slow(attention, query, keys), wrt)


def test_with_filters_of_zeros_it_is_additive_attention() -> None:
    attention, (query, keys, mask) = make(), make_inputs()
    additive = AdditiveAttention(QUERY_SIZE, KEY_SIZE, WIDTH).double()
    own = {name: tensor for name, tensor in attention.state_dict().items() if name in additive.state_dict()}
    additive.load_state_dict(own)
    assert not torch.allclose(looks(attention, query, keys, mask)[0], additive(query, keys, mask))
    torch.nn.init.zeros_(attention.filters.weight)
    torch.testing.assert_close(looks(attention, query, keys, mask)[0], additive(query, keys, mask))


def test_without_content_keys_do_not_affect_the_weights() -> None:
    attention, (query, keys, mask) = make(content=False), make_inputs()
    weights = looks(attention, query, keys, mask)[1]
    torch.testing.assert_close(weights, looks(attention, query, keys.flip(1), mask)[1])
    assert not torch.allclose(weights[:, 1], weights[:, 2])


def test_with_equal_keys_the_weights_depend_on_the_previous_ones() -> None:
    attention, query = make(), leaf(1, QUERY_SIZE)
    keys = leaf(1, 1, KEY_SIZE).expand(1, 2 * KEYS, KEY_SIZE)
    prepared = attention.prepare(keys)
    here, there = (
        attention.read(query, prepared, LastWeights(torch.eye(2 * KEYS, dtype=torch.float64)[place][None])).weights
        for place in (7, 10)
    )
    torch.testing.assert_close(here[:, 3:12], there[:, 6:15])
    assert here.std() > 0


def test_the_first_read_starts_at_the_first_key() -> None:
    attention, (_, keys, mask) = make(), make_inputs()
    weights = attention.initial_state(attention.prepare(keys, mask)).weights
    assert weights.argmax(1).tolist() == [0] * BATCH
    assert weights.sum(1).tolist() == [1, 1, 0]  # the last has none


def test_keys_masked_before_the_first_are_ignored() -> None:
    for options in ({}, {"window": 2}):
        attention, (query, keys, _) = make(**options).eval(), make_inputs()
        mask = (torch.arange(KEYS) >= 4).expand(BATCH, KEYS)
        here, there = looks(attention, query, keys, mask), looks(attention, query, keys[:, 4:], None)
        torch.testing.assert_close(here[0], there[0])
        torch.testing.assert_close(here[1][..., 4:], there[1])


def test_the_window_applies_only_in_evaluation() -> None:
    attention, (query, keys, _) = make(window=2), make_inputs()
    _, free = looks(attention.train(), query, keys, None)
    _, kept = looks(attention.eval(), query, keys, None)
    assert (free > 0).all()
    assert ((kept > 0).sum(2) <= 4).all()


@pytest.mark.parametrize("smoothing", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scores_of_any_size_give_a_distribution(dtype: torch.dtype, smoothing: bool) -> None:
    attention, (query, keys, _) = make(smoothing=smoothing).to(dtype), make_inputs()
    with torch.no_grad():
        attention.v.fill_(-3e4)  # each sigmoid underflows to 0
    weights = looks(attention, query.detach().to(dtype), keys.detach().to(dtype), None)[1]
    torch.testing.assert_close(weights.sum(2), torch.ones(BATCH, STEPS, dtype=dtype), rtol=0, atol=0.02)


def test_an_even_filter_or_an_empty_window_raises() -> None:
    with pytest.raises(InvalidInput, match="must be odd, not 4"):
        LocationAwareAttention(QUERY_SIZE, KEY_SIZE, WIDTH, filter_width=4)
    with pytest.raises(InvalidInput, match="at least 1 key, not 0"):
        LocationAwareAttention(QUERY_SIZE, KEY_SIZE, WIDTH, window=0)
