import math

import pytest
import torch
from torch import Tensor

from saccade.attention.local import LocalMonotonicAttention, LocalPredictiveAttention
from saccade.attention.luong import BilinearAttention
from saccade.core.errors import InvalidInput
from tests.checks import assert_twins, leaf, randomised

BATCH, QUERIES, KEYS, QUERY_SIZE, KEY_SIZE = 3, 5, 11, 7, 13
LENGTHS = [KEYS, 4, 0]
Local = LocalMonotonicAttention | LocalPredictiveAttention


def make_inputs() -> tuple[Tensor, Tensor, Tensor]:
    mask = torch.arange(KEYS) < torch.tensor(LENGTHS)[:, None]
    return leaf(BATCH, QUERIES, QUERY_SIZE), leaf(BATCH, KEYS, KEY_SIZE), mask


def slow(attention: Local, query: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Contexts and weights, one read at a time; keys and reads are counted from 1."""
    contexts, weights = [], []
    for b, length in enumerate(LENGTHS):
        for t, q in enumerate(query[b], start=1):
            row = [torch.zeros((), dtype=torch.float64) for _ in range(KEYS)]
            if isinstance(attention, LocalPredictiveAttention):
                hidden = torch.tanh(attention.hidden.weight @ q)
                p = length * torch.sigmoid(attention.centre.weight[0] @ hidden)
            else:
                p = torch.tensor(float(min(t, length)))
            window = [k for k in range(1, length + 1) if abs(k - p.item()) <= attention.half_width]
            scores = {k: torch.exp(q @ attention.key.weight @ keys[b, k - 1]) for k in window}
            for k in window:
                row[k - 1] = scores[k] / sum(scores.values())
                if isinstance(attention, LocalPredictiveAttention):
                    row[k - 1] = row[k - 1] * torch.exp(-((k - p) ** 2) / (2 * attention.sigma**2))
            weights.append(torch.stack(row))
            contexts.append(sum((w * key for w, key in zip(row, keys[b], strict=True)), 0 * keys[b, 0]))
    return torch.stack(contexts).view(BATCH, QUERIES, -1), torch.stack(weights).view(BATCH, QUERIES, -1)


def looks(attention: Local, query: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """One read after the other, as in a decoder."""
    prepared = attention.prepare(keys, mask)
    state, contexts, weights = attention.initial_state(prepared), [], []
    for t in range(QUERIES):
        reading = attention.read(query[:, t], prepared, state)  # type: ignore[arg-type]
        state = reading.state
        contexts.append(reading.context)
        weights.append(reading.weights)
    return torch.stack(contexts, 1), torch.stack(weights, 1)


@pytest.mark.parametrize("half_width", [1, 2, 30])
@pytest.mark.parametrize("kind", [LocalMonotonicAttention, LocalPredictiveAttention])
def test_it_equals_its_slow_twin(kind: type[Local], half_width: int) -> None:
    attention, (query, keys, mask) = randomised(kind(QUERY_SIZE, KEY_SIZE, half_width=half_width)), make_inputs()
    wrt = [query, keys, *attention.parameters()]
    assert_twins(lambda: looks(attention, query, keys, mask), lambda: slow(attention, query, keys), wrt)
    assert_twins(lambda: attention(query, keys, mask), lambda: slow(attention, query, keys)[0], wrt)


@pytest.mark.parametrize("kind", [LocalMonotonicAttention, LocalPredictiveAttention])
def test_a_window_as_wide_as_the_source_is_global_attention(kind: type[Local]) -> None:
    # the Gaussian depends on the window, so it is flattened separately
    flat = {"sigma": 1e9} if kind is LocalPredictiveAttention else {}
    local = randomised(kind(QUERY_SIZE, KEY_SIZE, half_width=KEYS, **flat))
    everywhere = BilinearAttention(QUERY_SIZE, KEY_SIZE).double()
    everywhere.key.weight = local.key.weight
    query, keys, mask = make_inputs()
    torch.testing.assert_close(local(query, keys, mask), everywhere(query, keys, mask))


def test_a_wide_window_is_not_global_attention_if_the_gaussian_depends_on_it() -> None:
    local = randomised(LocalPredictiveAttention(QUERY_SIZE, KEY_SIZE, half_width=KEYS))
    everywhere = BilinearAttention(QUERY_SIZE, KEY_SIZE).double()
    everywhere.key.weight = local.key.weight
    query, keys, _ = make_inputs()
    assert local.sigma == KEYS / 2
    assert not torch.allclose(local(query, keys), everywhere(query, keys), rtol=0.05)


def test_a_gradient_reaches_the_centre_and_the_weights_sum_to_less_than_one() -> None:
    attention, (query, keys, mask) = (
        randomised(LocalPredictiveAttention(QUERY_SIZE, KEY_SIZE, half_width=2)),
        make_inputs(),
    )
    slopes = torch.autograd.grad(attention(query, keys, mask).sum(), [attention.hidden.weight, attention.centre.weight])
    assert all(slope.any() for slope in slopes)
    _, weights = looks(attention, query, keys, mask)
    assert (weights.sum(2)[:2] < 1).all()


def test_monotonic_reads_advance_by_one_key_and_stay_at_the_last() -> None:
    attention, (query, keys, mask) = (
        randomised(LocalMonotonicAttention(QUERY_SIZE, KEY_SIZE, half_width=0)),
        make_inputs(),
    )
    _, weights = looks(attention, query, keys, mask)
    assert weights[0].argmax(1).tolist() == [0, 1, 2, 3, 4]
    assert weights[1].argmax(1).tolist() == [0, 1, 2, 3, 3]
    assert not weights[2].any()


@pytest.mark.parametrize("kind", [LocalMonotonicAttention, LocalPredictiveAttention])
def test_keys_masked_in_the_middle_are_ignored(kind: type[Local]) -> None:
    attention, (query, keys, _) = randomised(kind(QUERY_SIZE, KEY_SIZE, half_width=2)), make_inputs()
    kept = torch.tensor([0, 1, 4, 5, 8])
    mask = torch.zeros(BATCH, KEYS, dtype=torch.bool)
    mask[:, kept] = True
    torch.testing.assert_close(attention(query, keys, mask), attention(query, keys[:, kept]))


@pytest.mark.parametrize("kind", [LocalMonotonicAttention, LocalPredictiveAttention])
def test_without_keys_many_reads_return_zeros(kind: type[Local]) -> None:
    attention, query = kind(QUERY_SIZE, KEY_SIZE).double(), leaf(BATCH, QUERIES, QUERY_SIZE)
    for mask in (None, torch.ones(BATCH, 0, dtype=torch.bool), torch.ones(BATCH, QUERIES, 0, dtype=torch.bool)):
        assert not attention(query, leaf(BATCH, 0, KEY_SIZE), mask).any()


def test_an_empty_window_or_a_sigma_of_0_raises() -> None:
    with pytest.raises(InvalidInput, match="at least 1 key, not 0"):
        LocalPredictiveAttention(QUERY_SIZE, KEY_SIZE, half_width=0, sigma=1.0)
    with pytest.raises(InvalidInput, match="sigma must be above 0"):
        LocalPredictiveAttention(QUERY_SIZE, KEY_SIZE, sigma=-1.0)
    assert math.isclose(LocalPredictiveAttention(QUERY_SIZE, KEY_SIZE).sigma, 5.0)


@pytest.mark.parametrize("autocast", [True, False])
def test_positions_are_distinguished_in_bfloat16(autocast: bool) -> None:
    dtype = torch.float32 if autocast else torch.bfloat16
    keys, query = torch.randn(2, 600, KEY_SIZE, dtype=dtype), torch.randn(2, 600, QUERY_SIZE, dtype=dtype)
    for kind in (LocalMonotonicAttention, LocalPredictiveAttention):
        attention = kind(QUERY_SIZE, KEY_SIZE, half_width=2).to(dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            prepared = attention.prepare(keys)
            weights = attention.weigh(query, prepared, None)
        assert ((weights > 0).sum(2) <= 5).all()
        if kind is LocalMonotonicAttention:
            assert ((weights > 0).sum(2)[:, 2:-2] == 5).all()
            assert torch.equal((weights > 0).float().argmax(2)[0, 2:], torch.arange(598))


@pytest.mark.unhooked
def test_a_read_takes_one_query() -> None:
    attention = LocalMonotonicAttention(QUERY_SIZE, KEY_SIZE)
    prepared = attention.prepare(torch.randn(3, KEYS, KEY_SIZE))
    for shape, match in (
        ((3, 2, QUERY_SIZE), "one query per sequence"),
        ((1, QUERY_SIZE), "3 sequences, as the keys, not 1"),
    ):
        with pytest.raises(InvalidInput, match=match):
            attention.read(torch.randn(shape), prepared, attention.initial_state(prepared))
    with pytest.raises(InvalidInput, match="at least 0 keys, not -1"):
        LocalMonotonicAttention(QUERY_SIZE, KEY_SIZE, half_width=-1)
