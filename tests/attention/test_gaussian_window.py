import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from saccade.attention.gaussian_window import GaussianWindowAttention, Window
from saccade.core.errors import InvalidInput
from tests.checks import assert_twins, leaf, randomised

BATCH, STEPS, KEYS, QUERY_SIZE, KEY_SIZE, COMPONENTS = 3, 5, 11, 7, 13, 2
LENGTHS = [KEYS, 4, 0]


def make(components: int = COMPONENTS, **options: object) -> GaussianWindowAttention:
    return randomised(GaussianWindowAttention(QUERY_SIZE, KEY_SIZE, components=components, **options), 0.3)  # type: ignore[arg-type]


def make_inputs() -> tuple[Tensor, Tensor, Tensor]:
    mask = torch.arange(KEYS) < torch.tensor(LENGTHS)[:, None]
    return leaf(BATCH, STEPS, QUERY_SIZE), leaf(BATCH, KEYS, KEY_SIZE), mask


def looks(attention: GaussianWindowAttention, query: Tensor, keys: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
    prepared = attention.prepare(keys, mask)
    state, found = attention.initial_state(prepared), []
    for q in query.unbind(1):
        reading = attention.read(q, prepared, state)
        state = reading.state
        found.append((reading.context, reading.weights, state.location))
    return tuple(torch.stack(parts, 1) for parts in zip(*found, strict=True))


def slow(attention: GaussianWindowAttention, query: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
    """Equations 46 to 51 one number at a time; keys are counted from 1."""
    W, bias, n = attention.parameters_of.weight, attention.parameters_of.bias, COMPONENTS
    contexts, weights, locations = [], [], []
    for b, length in enumerate(LENGTHS):
        kappa = [torch.zeros((), dtype=torch.float64) for _ in range(n)]
        for q in query[b]:
            emitted = [W[i] @ q + bias[i] for i in range(3 * n)]
            for i in range(n):
                grown = torch.exp(emitted[2 * n + i])
                kappa[i] = kappa[i] + (grown if attention.offsets == "exp" else torch.log(1 + grown))
            alpha, beta = [torch.exp(e) for e in emitted[:n]], [torch.exp(e) for e in emitted[n : 2 * n]]
            row = [
                sum(alpha[i] * torch.exp(-beta[i] * (kappa[i] - u) ** 2) for i in range(n))
                if u <= length else torch.zeros((), dtype=torch.float64)
                for u in range(1, KEYS + 1)
            ]  # fmt: skip
            contexts.append(sum(w * key for w, key in zip(row, keys[b], strict=True)))
            weights.append(torch.stack(row))
            locations.append(torch.stack(kappa))
    return tuple(torch.stack(parts).view(BATCH, STEPS, -1) for parts in (contexts, weights, locations))


@pytest.mark.parametrize("offsets", ["exp", "softplus"])
def test_it_equals_its_slow_twin(offsets: str) -> None:
    attention, (query, keys, mask) = make(offsets=offsets), make_inputs()
    wrt = [query, keys, *attention.parameters()]
    assert_twins(lambda: looks(attention, query, keys, mask), lambda: slow(attention, query, keys), wrt)


@given(seed=st.integers(0, 1000), offsets=st.sampled_from(["exp", "softplus"]))
def test_the_window_only_moves_forwards(seed: int, offsets: str) -> None:
    torch.manual_seed(seed)
    attention, (query, keys, _) = make(offsets=offsets), make_inputs()
    location = looks(attention, query * 10, keys, None)[2]
    assert (location.diff(dim=1, prepend=torch.zeros(BATCH, 1, COMPONENTS)) > 0).all()


def fixed(location: float, sharpness: float) -> GaussianWindowAttention:
    """One Gaussian of height 1 whose first position does not depend on the query."""
    attention = make(1)
    torch.nn.init.zeros_(attention.parameters_of.weight)
    with torch.no_grad():
        attention.parameters_of.bias.copy_(
            torch.tensor([0.0, math.log(sharpness), math.log(location)], dtype=torch.float64)
        )
    return attention


def test_a_very_sharp_gaussian_selects_a_key_at_an_integer_position_and_none_in_between() -> None:
    query, keys, _ = make_inputs()
    for place in (1, 4, KEYS):
        context = looks(fixed(place, 1e6), query, keys, None)[0]
        torch.testing.assert_close(context[:, 0], keys[:, place - 1])
    assert looks(fixed(4.5, 1e6), query, keys, None)[1][:, 0].abs().max() < 1e-12


def test_the_weights_are_not_a_distribution() -> None:
    attention, (query, keys, _) = fixed(4.0, 0.1), make_inputs()
    weights = looks(attention, query, keys, None)[1][:, 0]
    expected = [math.exp(-0.1 * (4 - u) ** 2) for u in range(1, KEYS + 1)]
    torch.testing.assert_close(weights[0], torch.tensor(expected, dtype=torch.float64))
    assert sum(expected) > 1


@pytest.mark.parametrize("offsets", ["exp", "softplus"])
@pytest.mark.parametrize("pace", [0.5, 3.0, 30.0, 800.0])
def test_a_new_model_moves_at_its_pace(pace: float, offsets: str) -> None:
    attention = GaussianWindowAttention(QUERY_SIZE, KEY_SIZE, offsets=offsets, pace=pace)  # type: ignore[arg-type]
    keys, nothing = torch.randn(BATCH, KEYS, KEY_SIZE), torch.zeros(BATCH, STEPS, QUERY_SIZE)
    location = looks(attention, nothing, keys, None)[2]
    torch.testing.assert_close(location[:, :, 0], pace * torch.arange(1.0, STEPS + 1).expand(BATCH, STEPS))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_queries_give_no_nan(size: float, dtype: torch.dtype) -> None:
    attention = make().to(dtype)
    query, keys, mask = make_inputs()
    query = (query.detach() * size).to(dtype).requires_grad_()
    context, weights, location = looks(attention, query, keys.detach().to(dtype), mask)
    assert context.isfinite().all()
    assert weights.isfinite().all()
    assert location.isfinite().all()
    (slope,) = torch.autograd.grad(context.sum(), query)
    assert slope.isfinite().all()


def test_the_location_stays_float32_under_autocast() -> None:
    attention = GaussianWindowAttention(QUERY_SIZE, KEY_SIZE)
    keys, query = torch.randn(BATCH, KEYS, KEY_SIZE), torch.randn(BATCH, QUERY_SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        prepared = attention.prepare(keys)
        reading = attention.read(query, prepared, Window(torch.full((BATCH, 10), 1000.0)))
    assert reading.state.location.dtype == torch.float32
    assert (reading.state.location > 1000).all()  # in bfloat16 a step of 1 from 1000 is lost


def test_keys_masked_in_the_middle_are_ignored() -> None:
    attention, (query, keys, _) = make(), make_inputs()
    kept = torch.tensor([0, 1, 4, 5, 8])
    mask = torch.zeros(BATCH, KEYS, dtype=torch.bool)
    mask[:, kept] = True
    here, there = looks(attention, query, keys, mask), looks(attention, query, keys[:, kept], None)
    torch.testing.assert_close(here[0], there[0])


@pytest.mark.unhooked
def test_invalid_settings_raise() -> None:
    for options in ({"components": 0}, {"pace": 0.0}, {"pace": 1e30}, {"offsets": "Exp"}):
        with pytest.raises(InvalidInput):
            GaussianWindowAttention(QUERY_SIZE, KEY_SIZE, **options)  # type: ignore[arg-type]
