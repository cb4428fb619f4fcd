import doctest
import math
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from saccade.attention import dot_product, positions
from saccade.attention.dot_product import causal_mask, dot_product_weights, scaled_dot_product
from tests.checks import LargestTensor, assert_twins, leaf

BATCH, HEADS, QUERIES, KEYS, SIZE, VALUE_SIZE = 2, 3, 5, 7, 11, 13


@pytest.fixture(scope="module", params=[0, dot_product.FEW], ids=["fused", "products"], autouse=True)
def few(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test runs with and without the shortcut for few queries on a CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dot_product, "FEW", request.param)
        yield


def slow(query: Tensor, keys: Tensor, values: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Contexts and weights, one query of one head at a time; `allowed` is (b, h, q, k)."""
    contexts, weights = [], []
    for b in range(len(query)):
        for h in range(query.shape[1]):
            for q in range(query.shape[2]):
                scores = [query[b, h, q] @ key / math.sqrt(query.shape[-1]) for key in keys[b, h]]
                may = allowed[b, h, q].tolist()
                total = sum(torch.exp(score) for score, m in zip(scores, may, strict=True) if m)
                row = [torch.exp(score) / total if m else 0 * score for score, m in zip(scores, may, strict=True)]
                contexts.append(sum(w * value for w, value in zip(row, values[b, h], strict=True)))
                weights.append(torch.stack(row))
    shape = query.shape[:3]
    return torch.stack(contexts).view(*shape, -1), torch.stack(weights).view(*shape, -1)


def make(queries: int = QUERIES, keys: int = KEYS, value_size: int = VALUE_SIZE) -> tuple[Tensor, Tensor, Tensor]:
    return leaf(BATCH, HEADS, queries, SIZE), leaf(BATCH, HEADS, keys, SIZE), leaf(BATCH, HEADS, keys, value_size)


def last_query_sees_all(queries: int, keys: int) -> Tensor:
    """Query i of n is at the position of key i + (keys - n)."""
    rows = [[k <= q + keys - queries for k in range(keys)] for q in range(queries)]
    return torch.tensor(rows)[None, None].expand(BATCH, HEADS, queries, keys)


@pytest.mark.parametrize("value_size", [2, SIZE, VALUE_SIZE])
@pytest.mark.parametrize("masked", ["no", "keys", "scores"])
@pytest.mark.parametrize(("causal", "queries"), [(False, QUERIES), (True, QUERIES), (True, KEYS), (True, 1)])
def test_it_equals_its_slow_twin(causal: bool, queries: int, masked: str, value_size: int) -> None:
    inputs = make(queries, value_size=value_size)
    allowed = last_query_sees_all(queries, KEYS) if causal else torch.ones(BATCH, HEADS, queries, KEYS).bool()
    mask = None
    if masked != "no":
        shape = (BATCH, 1, 1, KEYS) if masked == "keys" else (BATCH, HEADS, queries, KEYS)
        mask = torch.rand(shape) < 0.6
        mask[..., 0] = True
        mask[0, ..., -1] = False
        allowed = allowed & mask
    assert_twins(
        lambda: (scaled_dot_product(*inputs, mask, causal), dot_product_weights(*inputs[:2], mask, causal)),
        lambda: slow(*inputs, allowed),
        inputs,
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("causal", [False, True])
def test_a_row_with_nothing_to_attend_is_zero_with_zero_gradient(dtype: torch.dtype, causal: bool) -> None:
    query, keys, values = (x.detach().to(dtype).requires_grad_() for x in make(KEYS))
    mask = torch.ones(BATCH, 1, KEYS, KEYS, dtype=torch.bool)
    mask[1], mask[0, :, 2] = False, False
    for context in (
        scaled_dot_product(query, keys, values, mask, causal),
        dot_product_weights(query, keys, mask, causal) @ values,
    ):
        assert not context[1].any()
        assert not context[0, :, 2].any()
        slopes = torch.autograd.grad(context.square().sum(), [query, keys, values])
        assert all(slope.isfinite().all() and not slope[1].any() and slope[0].any() for slope in slopes)
        assert not slopes[0][0, :, 2].any()


def test_more_causal_queries_than_keys_leave_the_first_without_any() -> None:
    query, keys, values = make(KEYS, QUERIES)
    context = scaled_dot_product(query, keys, values, causal=True)
    assert not context[:, :, : KEYS - QUERIES].any()
    torch.testing.assert_close(context[:, :, KEYS - QUERIES], values[:, :, 0])


def test_one_query_after_a_cache_is_the_last_row_of_the_full_result() -> None:
    query, keys, values = make(KEYS)
    whole = scaled_dot_product(query, keys, values, causal=True)
    for t in range(KEYS):
        seen = slice(0, t + 1)
        step = scaled_dot_product(query[:, :, t : t + 1], keys[:, :, seen], values[:, :, seen], causal=True)
        torch.testing.assert_close(step[:, :, 0], whole[:, :, t])


def test_torch_aligns_to_the_first_query_and_we_to_the_last() -> None:
    query, keys, values = make()
    theirs = functional.scaled_dot_product_attention(query, keys, values, is_causal=True)
    assert not torch.allclose(scaled_dot_product(query, keys, values, causal=True), theirs)
    square = functional.scaled_dot_product_attention(
        query, keys[:, :, :QUERIES], values[:, :, :QUERIES], is_causal=True
    )
    ours = scaled_dot_product(query, keys[:, :, :QUERIES], values[:, :, :QUERIES], causal=True)
    torch.testing.assert_close(ours, square)


@given(queries=st.integers(1, 6), keys=st.integers(1, 6))
def test_the_causal_mask_lets_the_last_query_see_all(queries: int, keys: int) -> None:
    assert torch.equal(causal_mask(queries, keys), last_query_sees_all(queries, keys)[:1, :1])


@pytest.mark.parametrize("value_size", [SIZE, VALUE_SIZE])
def test_the_kernel_is_fused(value_size: int) -> None:
    size = 61
    query, keys, values = (leaf(1, 1, size, width) for width in (SIZE, SIZE, value_size))
    for mask in (None, torch.ones(1, 1, 1, size, dtype=torch.bool)):
        with LargestTensor() as largest:
            scaled_dot_product(query, keys, values, mask).sum().backward()
        assert largest.elements <= size * VALUE_SIZE


@given(scale=st.sampled_from([1.0, 1e3, 1e18]))
def test_large_scores_give_no_nan(scale: float) -> None:
    query, keys, values = (x.detach().float() * scale for x in make())
    assert scaled_dot_product(query, keys, values).isfinite().all()
    assert dot_product_weights(query, keys).isfinite().all()


def test_the_order_of_the_keys_does_not_matter() -> None:
    query, keys, values = make()
    order = torch.randperm(KEYS)
    shuffled = scaled_dot_product(query, keys[:, :, order], values[:, :, order])
    torch.testing.assert_close(shuffled, scaled_dot_product(query, keys, values))


def test_autocast_is_within_bfloat16_precision_of_float32() -> None:
    inputs = [x.detach().float() for x in make()]
    with torch.autocast("cpu", torch.bfloat16):
        narrow = scaled_dot_product(*inputs)
    torch.testing.assert_close(narrow.float(), scaled_dot_product(*inputs), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("module", [dot_product, positions], ids=lambda module: str(module.__name__))
def test_the_examples_of_the_docstrings(module: ModuleType) -> None:
    results = doctest.testmod(module, extraglobs={"torch": torch})
    assert results.failed == 0
    assert results.attempted == (3 if module is dot_product else 0)
