import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from saccade.attention import AdditiveAttention, Attention
from saccade.attention.additive import additive_scores
from saccade.core.errors import InvalidInput
from tests.checks import LargestTensor, assert_twins, leaf, randomised, unchanged

BATCH, QUERIES, KEYS, QUERY_SIZE, KEY_SIZE, WIDTH, VALUE_SIZE = 2, 3, 5, 7, 11, 13, 17


def make_attention(chunk: int = 1 << 22) -> AdditiveAttention:
    return randomised(AdditiveAttention(QUERY_SIZE, KEY_SIZE, WIDTH, chunk=chunk))


def make_inputs(queries: int = QUERIES) -> tuple[Tensor, Tensor, Tensor]:
    return leaf(BATCH, queries, QUERY_SIZE), leaf(BATCH, KEYS, KEY_SIZE), leaf(BATCH, KEYS, VALUE_SIZE)


def slow_look(
    attention: AdditiveAttention, query: Tensor, keys: Tensor, allowed: list[bool], values: Tensor
) -> tuple[Tensor, Tensor]:
    """Context and weights of a query s (d,): e_k = v . tanh(W s + U h_k), w = exp(e) / sum exp(e), c = sum w_k h_k."""
    W, U, b, v = attention.query.weight, attention.key.weight, attention.key.bias, attention.v
    energies = [sum(v[i] * torch.tanh(W[i] @ query + U[i] @ key + b[i]) for i in range(len(v))) for key in keys]
    total = sum(torch.exp(energy) for energy, may in zip(energies, allowed, strict=True) if may)
    weights = [torch.exp(energy) / total if may else 0 * energy for energy, may in zip(energies, allowed, strict=True)]
    context = sum(weight * value for weight, value in zip(weights, values, strict=True))
    assert isinstance(context, Tensor)
    return context, torch.stack(weights)


def slow_attention(
    attention: AdditiveAttention, query: Tensor, keys: Tensor, mask: Tensor | None = None, values: Tensor | None = None
) -> Tensor:
    """Contexts (b, q, c), one query at a time; the mask is (b, q, k)."""
    values = keys if values is None else values
    mask = torch.ones(*query.shape[:2], keys.shape[1], dtype=torch.bool) if mask is None else mask
    return torch.stack([
        torch.stack([
            slow_look(attention, query[i, j], keys[i], mask[i, j].tolist(), values[i])[0] for j in range(query.shape[1])
        ])
        for i in range(len(query))
    ])  # fmt: skip


def random_mask(*shape: int) -> Tensor:
    mask = torch.rand(*shape) < 0.6
    mask[..., 0] = True
    mask[0, ..., -1] = False
    return mask


def test_it_fits_the_contract_of_attention() -> None:
    assert isinstance(AdditiveAttention(3, 5, 7), Attention)


def test_it_equals_its_slow_twin() -> None:
    attention, (query, keys, _) = make_attention(), make_inputs()
    assert_twins(
        lambda: attention(query, keys),
        lambda: slow_attention(attention, query, keys),
        [query, keys, *attention.parameters()],
    )


@pytest.mark.parametrize("queries", [QUERIES, BATCH])
def test_it_equals_its_slow_twin_with_a_key_mask_and_values(queries: int) -> None:
    attention, (query, keys, values), mask = make_attention(), make_inputs(queries), random_mask(BATCH, KEYS)
    each = mask[:, None].expand(BATCH, queries, KEYS)
    assert_twins(
        lambda: attention(query, keys, mask, values),
        lambda: slow_attention(attention, query, keys, each, values),
        [query, keys, values, *attention.parameters()],
    )


def test_it_equals_its_slow_twin_with_a_mask_per_query() -> None:
    attention, (query, keys, values), mask = make_attention(), make_inputs(), random_mask(BATCH, QUERIES, KEYS)
    assert_twins(
        lambda: attention(query, keys, mask, values),
        lambda: slow_attention(attention, query, keys, mask, values),
        [query, keys, values, *attention.parameters()],
    )


def test_a_read_equals_its_slow_twin_in_context_and_weights() -> None:
    attention, (_, keys, values), mask = make_attention(), make_inputs(), random_mask(BATCH, KEYS)
    query = leaf(BATCH, QUERY_SIZE)

    def fast() -> tuple[Tensor, Tensor]:
        prepared = attention.prepare(keys, mask, values)
        reading = attention.read(query, prepared, attention.initial_state(prepared))
        assert reading.state == ()
        return reading.context, reading.weights

    def slow() -> tuple[Tensor, ...]:
        looks = [slow_look(attention, query[i], keys[i], mask[i].tolist(), values[i]) for i in range(BATCH)]
        return tuple(torch.stack(parts) for parts in zip(*looks, strict=True))

    assert_twins(fast, slow, [query, keys, values, *attention.parameters()])


def test_scores_pass_gradcheck() -> None:
    assert torch.autograd.gradcheck(additive_scores, (leaf(2, 3, 5), leaf(2, 2, 5), leaf(5)))


@pytest.mark.parametrize("chunk", [1, 1 << 22])
def test_forward_passes_gradcheck_with_an_empty_row(chunk: int) -> None:
    attention, mask = randomised(AdditiveAttention(2, 3, 5, chunk=chunk)), random_mask(2, 3, 5)
    mask[1, 1] = False
    assert torch.autograd.gradcheck(lambda query, keys: attention(query, keys, mask), (leaf(2, 3, 2), leaf(2, 5, 3)))


def test_many_queries_at_once_equal_many_reads() -> None:
    attention, (query, keys, values), mask = make_attention(), make_inputs(), random_mask(BATCH, KEYS)
    wrt = [query, keys, values, *attention.parameters()]

    def reads() -> Tensor:
        prepared = attention.prepare(keys, mask, values)
        return torch.stack([attention.read(query[:, j], prepared).context for j in range(QUERIES)], 1)

    assert_twins(lambda: attention(query, keys, mask, values), reads, wrt, 1e-13)
    assert_twins(
        lambda: attention.read(query, attention.prepare(keys, mask, values)).context,
        lambda: attention(query, keys, mask, values),
        wrt,
        1e-13,
    )


def test_keys_are_projected_in_prepare_and_not_in_read() -> None:
    attention, (query, keys, _), calls = make_attention(), make_inputs(), []
    attention.key.register_forward_hook(lambda *_: calls.append(1))
    prepared = attention.prepare(keys)
    for j in range(QUERIES):
        attention.read(query[:, j], prepared)
    assert len(calls) == 1


@given(st.permutations(range(KEYS)))
def test_permuting_keys_changes_no_context_and_permutes_weights(order: list[int]) -> None:
    attention, (query, keys, values), mask = make_attention(), make_inputs(), random_mask(BATCH, KEYS)
    here = attention.read(query, attention.prepare(keys, mask, values))
    there = attention.read(query, attention.prepare(keys[:, order], mask[:, order], values[:, order]))
    torch.testing.assert_close(there.context, here.context, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(there.weights, here.weights[:, :, order], rtol=1e-13, atol=1e-13)


def test_masked_keys_have_no_influence_to_the_last_bit() -> None:
    attention, (query, keys, values), mask = make_attention(), make_inputs(), random_mask(BATCH, KEYS)
    hidden = ~mask[:, :, None]
    assert hidden.any()
    other = attention(query, keys.masked_fill(hidden, 1e30), mask, values.masked_fill(hidden, -1e300))
    assert torch.equal(other, attention(query, keys, mask, values))


def test_masked_equals_cut_off_with_every_gradient() -> None:
    attention, (query, keys, values) = make_attention(), make_inputs()
    lengths = [KEYS, 2]
    mask = torch.arange(KEYS) < torch.tensor(lengths)[:, None]

    def cut() -> Tensor:
        return torch.cat([
            attention(query[i : i + 1], keys[i : i + 1, :length], values=values[i : i + 1, :length])
            for i, length in enumerate(lengths)
        ])  # fmt: skip

    wrt = [query, keys, values, *attention.parameters()]
    assert_twins(lambda: attention(query, keys, mask, values), cut, wrt, 1e-14)
    slopes = torch.autograd.grad(attention(query, keys, mask, values).sum(), [keys, values])
    assert not any(slope[1, 2:].any() for slope in slopes)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [1.0, 1e30, "finfo"])
@pytest.mark.parametrize("chunk", [1, 1 << 22])
def test_a_query_with_nothing_to_attend_gets_zeros_and_zero_gradient(
    dtype: torch.dtype, size: float | str, chunk: int
) -> None:
    attention = make_attention(chunk).to(dtype)
    # one unit with such a large v that the scores are near the largest float
    largest = torch.finfo(dtype).max if size == "finfo" else float(size)
    with torch.no_grad():
        attention.v.zero_()[0] = largest
    query, keys, values = (tensor.detach().to(dtype).requires_grad_() for tensor in make_inputs())
    mask = random_mask(BATCH, QUERIES, KEYS)
    mask[1, 2] = mask[0, 0] = False
    context = attention(query, keys, mask, values)
    assert context.dtype == dtype
    assert context.isfinite().all()
    empty = ~mask.any(-1)
    assert not context[empty].any()
    assert context[~empty].any(-1).all()
    slopes = torch.autograd.grad(context[empty].sum(), [query, keys, values, *attention.parameters()])
    assert not any(slope.any() for slope in slopes)


def test_a_sequence_with_nothing_to_attend_gets_a_reading_of_zeros() -> None:
    attention, (query, keys, _) = make_attention(), make_inputs()
    mask = torch.tensor([[True] * KEYS, [False] * KEYS])
    reading = attention.read(query[:, 0], attention.prepare(keys, mask))
    assert torch.equal(reading.context[1], torch.zeros(KEY_SIZE, dtype=torch.float64))
    assert torch.equal(reading.weights[1], torch.zeros(KEYS, dtype=torch.float64))
    assert math.isclose(reading.weights[0].sum().item(), 1, rel_tol=1e-15)


@pytest.mark.parametrize("at_once", [1, 2, 3, 5])
def test_chunks_of_queries_equal_all_at_once(at_once: int) -> None:
    whole, chunked = make_attention(), make_attention(chunk=at_once * BATCH * KEYS * WIDTH)
    chunked.load_state_dict(whole.state_dict())
    query, keys, values = make_inputs(queries=7)
    mask = random_mask(BATCH, 7, KEYS)
    weights = dict(whole.named_parameters())
    assert_twins(
        lambda: torch.func.functional_call(chunked, weights, (query, keys, mask, values)),
        lambda: whole(query, keys, mask, values),
        [query, keys, values, *whole.parameters()],
        1e-13,
    )


@pytest.mark.parametrize("at_once", [1, 3])
def test_forward_and_backward_never_hold_every_pair_at_once(at_once: int) -> None:
    queries, keys, width = 19, 23, 29  # sizes at which the pairs of one query are larger than all other tensors
    query, key = leaf(BATCH, queries, QUERY_SIZE), leaf(BATCH, keys, KEY_SIZE)
    for chunk, expected in [(1 << 22, queries), (at_once * BATCH * keys * width, at_once)]:
        attention = randomised(AdditiveAttention(QUERY_SIZE, KEY_SIZE, width, chunk=chunk))
        with LargestTensor() as forward:
            context = attention(query, key)
        with LargestTensor() as backward:
            context.sum().backward()
        assert forward.elements == backward.elements == expected * BATCH * keys * width


def test_large_tensors_are_recomputed_in_the_backward_pass() -> None:
    queries, keys, width = 19, 23, 29

    def kept(chunk: int) -> int:
        """Elements that autograd saves, counting each storage once."""
        held: list[Tensor] = []

        def pack(tensor: Tensor) -> Tensor:
            held.append(tensor)
            return tensor

        attention = randomised(AdditiveAttention(QUERY_SIZE, KEY_SIZE, width, chunk=chunk))
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            attention(leaf(BATCH, queries, QUERY_SIZE), leaf(BATCH, keys, KEY_SIZE))
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in held}
        return sum(storages.values()) // 8

    every_pair = BATCH * queries * keys * width
    assert kept(1 << 22) >= every_pair
    assert kept(1) < every_pair // 3


def test_forward_changes_nothing_on_the_module() -> None:
    attention, (query, keys, _) = make_attention(chunk=1), make_inputs()
    with unchanged(attention):
        attention(query, keys, random_mask(BATCH, KEYS)).sum().backward(inputs=[query])
        attention.read(query[:, 0], attention.prepare(keys))


def test_the_tap_of_the_weights_has_no_effect_unless_captured() -> None:
    attention, (query, keys, _), mask = make_attention(), make_inputs(), random_mask(BATCH, KEYS)
    assert set(attention.state_dict()) == {"query.weight", "key.weight", "key.bias", "v"}
    silent, heard = attention(query, keys, mask), []
    attention.weights.listener = lambda weights: heard.append(weights) or weights
    assert torch.equal(attention(query, keys, mask), silent)
    assert torch.equal(heard[0] @ keys, silent)
    attention.read(query[:, 0], attention.prepare(keys, mask))
    assert len(attention.weights.axes) == heard[1].ndim == 3
    torch.testing.assert_close(heard[1], heard[0][:, :1])
    attention.weights.listener = torch.zeros_like
    assert not attention(query, keys, mask).any()


def test_all_new_weights_are_initialised() -> None:
    attention = AdditiveAttention(QUERY_SIZE, KEY_SIZE, WIDTH)
    assert all(parameter.isfinite().all() for parameter in attention.parameters())
    assert not attention.key.bias.any()
    assert attention.v.abs().max() <= WIDTH**-0.5


def test_bfloat16_autocast_stays_near_float32() -> None:
    attention = AdditiveAttention(QUERY_SIZE, KEY_SIZE, WIDTH)
    query, keys, values = (tensor.detach().float() for tensor in make_inputs())
    mask = random_mask(BATCH, KEYS)
    exact = attention(query, keys, mask, values)
    with torch.autocast("cpu", torch.bfloat16):
        near = attention(query, keys, mask, values)
    torch.testing.assert_close(near.float(), exact, rtol=0, atol=2e-2)
    assert not torch.equal(near.float(), exact)  # it did run in bfloat16


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((BATCH, KEYS), torch.float32),
        ((BATCH, KEYS), torch.uint8),
        ((KEYS,), torch.bool),
        ((QUERIES, KEYS), torch.bool),
        ((KEYS, BATCH), torch.bool),
        ((BATCH, KEYS, QUERIES), torch.bool),
        ((BATCH, 1, QUERIES, KEYS), torch.bool),
    ],
)
def test_a_mask_of_another_rank_size_or_dtype_raises(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    attention, (query, keys, _) = make_attention(), make_inputs()
    mask = torch.ones(shape, dtype=dtype)
    with pytest.raises(InvalidInput, match="mask"):
        attention(query, keys, mask)
    with pytest.raises(InvalidInput, match="mask"):
        attention.prepare(keys, mask)


@pytest.mark.unhooked
def test_prepare_refuses_a_mask_per_query() -> None:
    attention, (_, keys, _) = make_attention(), make_inputs()
    with pytest.raises(InvalidInput, match="key mask"):
        attention.prepare(keys, torch.ones(BATCH, QUERIES, KEYS, dtype=torch.bool))


@pytest.mark.unhooked
def test_sizes_that_do_not_fit_raise() -> None:
    attention, (query, keys, values) = make_attention(), make_inputs()
    with pytest.raises(InvalidInput, match="keys must have 11 features, not 17"):
        attention(query, values)
    with pytest.raises(InvalidInput, match="queries must have 7 features, not 11"):
        attention(keys, keys)
    with pytest.raises(InvalidInput, match="queries must have 7 features, not 11"):
        attention.read(keys[:, 0], attention.prepare(keys))
    with pytest.raises(InvalidInput, match="queries of 2 sequences, as the keys, not 1"):
        attention(query[:1], keys)
    with pytest.raises(InvalidInput, match=r"values must be \(2, 5, features\), as the keys, not \(2, 4, 17\)"):
        attention(query, keys, values=values[:, 1:])


@pytest.mark.unhooked
def test_the_compiled_module_gives_the_same_results() -> None:
    attention = make_attention().float()
    query, keys, values = (tensor.detach().float().requires_grad_() for tensor in make_inputs())
    mask = random_mask(BATCH, KEYS)
    mask[1] = False
    # compiled kernels do not use the poisoned memory
    torch.use_deterministic_algorithms(False)
    compiled = torch.compile(attention, fullgraph=True)
    assert_twins(
        lambda: compiled(query, keys, mask, values),
        lambda: attention(query, keys, mask, values),
        [query, keys, values, *attention.parameters()],
        1e-5,
    )
