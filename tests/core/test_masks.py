import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from saccade.core import masks
from saccade.core.errors import InvalidInput
from saccade.core.masks import check_key_mask, length_mask, masked_softmax, score_mask
from tests.checks import assert_twins, leaf

DTYPES = [torch.float64, torch.float32, torch.bfloat16]


@pytest.fixture(scope="module", params=[masks.SMALL, 0], ids=["plain", "padded"], autouse=True)
def small(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test runs with and without the padding of short rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "SMALL", request.param)
        yield


def slow_masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """exp(e_k) over the sum of exp(e_k') of the k' that may be attended; rows (n, k), one weight at a time."""
    rows = []
    for row, allowed in zip(scores, mask.tolist(), strict=True):
        total = sum(torch.exp(score) for score, may in zip(row, allowed, strict=True) if may)
        rows.append([torch.exp(score) / total if may else 0 * score for score, may in zip(row, allowed, strict=True)])
    return torch.stack([torch.stack(row) for row in rows])


def random_mask(*shape: int) -> Tensor:
    mask = torch.rand(*shape) < 0.6
    mask[..., 0] = True
    return mask


@given(st.lists(st.integers(0, 7), min_size=1, max_size=5))
def test_a_length_mask_is_true_below_each_length(lengths: list[int]) -> None:
    mask = length_mask(torch.tensor(lengths), 7)
    assert mask.tolist() == [[position < length for position in range(7)] for length in lengths]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_lengths_may_be_of_any_integer_type(dtype: torch.dtype) -> None:
    assert length_mask(torch.tensor([2, 0], dtype=dtype), 3).tolist() == [[True, True, False], [False, False, False]]


def test_masked_softmax_equals_its_slow_twin() -> None:
    scores, mask = leaf(5, 7), random_mask(5, 7)
    assert_twins(lambda: masked_softmax(scores, mask), lambda: slow_masked_softmax(scores, mask), [scores])


def test_masked_softmax_passes_gradcheck_with_an_empty_row() -> None:
    mask = random_mask(3, 5)
    mask[1] = False
    assert torch.autograd.gradcheck(lambda scores: masked_softmax(scores, mask), [leaf(3, 5)])


def test_no_mask_is_the_plain_softmax() -> None:
    scores = torch.randn(3, 5, 7)
    torch.testing.assert_close(masked_softmax(scores, None), scores.softmax(-1))


def test_a_mask_of_all_true_changes_nothing() -> None:
    scores = torch.randn(3, 5, 7)
    mask = torch.ones(3, 1, 7, dtype=torch.bool)
    assert torch.equal(masked_softmax(scores, mask), masked_softmax(scores, None))


def test_masked_equals_cut_off_with_its_gradient() -> None:
    scores, slopes = leaf(3, 11), torch.randn(3, 5, dtype=torch.float64)
    short = scores.detach()[:, :5].clone().requires_grad_()
    masked, cut = masked_softmax(scores, torch.arange(11).expand(3, 11) < 5), short.softmax(-1)
    assert torch.equal(masked[:, 5:], torch.zeros_like(masked[:, 5:]))
    # sums of other lengths are rounded differently
    torch.testing.assert_close(masked[:, :5], cut, rtol=1e-15, atol=1e-15)
    (ours,) = torch.autograd.grad((masked[:, :5] * slopes).sum(), scores)
    (theirs,) = torch.autograd.grad((cut * slopes).sum(), short)
    assert torch.equal(ours[:, 5:], torch.zeros_like(ours[:, 5:]))
    torch.testing.assert_close(ours[:, :5], theirs, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", [1e30, -1e30, "largest", "smallest"])
def test_masked_positions_have_no_influence_to_the_last_bit(dtype: torch.dtype, hidden: float | str) -> None:
    value = {"largest": torch.finfo(dtype).max, "smallest": torch.finfo(dtype).min}.get(hidden, hidden)
    scores, mask = torch.randn(5, 7).to(dtype), random_mask(5, 7)
    assert torch.equal(masked_softmax(scores, mask), masked_softmax(scores.masked_fill(~mask, value), mask))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1.0, 1e30, "finfo"])
def test_a_row_with_nothing_to_attend_gives_zeros_and_zero_gradient(dtype: torch.dtype, size: float | str) -> None:
    scale = torch.finfo(dtype).max if size == "finfo" else float(size)
    scores = (torch.rand(3, 5, 7).mul(2).sub(1).to(dtype) * scale).requires_grad_()
    mask = random_mask(3, 5, 7)
    mask[1, 2] = mask[2, 0] = False
    weights = masked_softmax(scores, mask)
    (slope,) = torch.autograd.grad(weights, scores, torch.randn_like(weights))
    assert weights.dtype == dtype
    assert weights.isfinite().all()
    assert slope.isfinite().all()
    empty = ~mask.any(-1)
    assert not weights[empty].any()
    assert not slope[empty].any()
    full = weights[~empty].float().sum(-1)
    torch.testing.assert_close(full, torch.ones_like(full), rtol=0, atol=2e-2 if dtype == torch.bfloat16 else 1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_positions_are_excluded_even_with_the_smallest_scores(dtype: torch.dtype) -> None:
    scores, mask = torch.full((3, 7), torch.finfo(dtype).min, dtype=dtype), random_mask(3, 7)
    weights = masked_softmax(scores, mask)
    assert not weights[~mask].any()
    torch.testing.assert_close(weights.float(), mask / mask.sum(-1, keepdim=True), rtol=1e-2, atol=0)


def test_an_empty_row_has_no_intermediate_nan() -> None:
    # anomaly detection raises at a NaN in the backward pass, also at one that a later mask would hide
    scores = leaf(2, 3)
    with pytest.warns(UserWarning, match="Anomaly Detection"), torch.autograd.detect_anomaly(check_nan=True):
        masked_softmax(scores, torch.zeros(2, 3, dtype=torch.bool)).sum().backward()
    assert scores.grad is not None
    assert not scores.grad.any()


@given(st.data())
def test_weights_are_a_distribution_over_the_positions_that_may_be_attended(data: st.DataObject) -> None:
    rows, keys = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 7))
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    scores = torch.tensor(data.draw(st.lists(finite, min_size=rows * keys, max_size=rows * keys))).view(rows, keys)
    allowed = data.draw(st.lists(st.booleans(), min_size=rows * keys, max_size=rows * keys))
    mask = torch.tensor(allowed).view(rows, keys)
    weights = masked_softmax(scores, mask)
    assert not weights.masked_select(~mask).any()
    assert (weights >= 0).all()
    for total, row in zip(weights.sum(-1).tolist(), mask, strict=True):
        assert math.isclose(total, float(row.any()), abs_tol=1e-5)


@given(st.permutations(range(7)))
def test_permuting_positions_permutes_weights(order: list[int]) -> None:
    scores, mask = torch.randn(3, 7, dtype=torch.float64), random_mask(3, 7)
    permuted = masked_softmax(scores[:, order], mask[:, order])
    torch.testing.assert_close(permuted, masked_softmax(scores, mask)[:, order], rtol=1e-15, atol=1e-15)


def test_without_keys_there_are_no_weights() -> None:
    assert masked_softmax(torch.zeros(3, 5, 0), torch.zeros(3, 1, 0, dtype=torch.bool)).shape == (3, 5, 0)


@pytest.mark.parametrize("shape", [(3, 3, 7), (3, 2, 3, 7)])
def test_a_key_mask_applies_to_the_batch_even_if_the_number_of_queries_is_equal(shape: tuple[int, ...]) -> None:
    mask = random_mask(3, 7)
    scores = torch.randn(*shape, dtype=torch.float64)
    fitted = score_mask(mask, shape)
    assert fitted is not None
    weights = masked_softmax(scores, fitted)
    for sentence in range(3):
        expected = masked_softmax(scores[sentence], mask[sentence].expand(shape[1:]))
        assert torch.equal(weights[sentence], expected)


def test_a_mask_of_the_scores_rank_is_unchanged() -> None:
    for shape in [(2, 3, 7), (2, 1, 7), (1, 3, 7), (1, 1, 7)]:
        mask = random_mask(*shape)
        assert score_mask(mask, (2, 3, 7)) is mask
    assert score_mask(None, (2, 3, 7)) is None


@pytest.mark.unhooked
@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 5), (7, 2), (2, 3, 1), (2, 1, 1), (2, 5, 7), (2, 1, 3, 7), ()])
def test_a_mask_of_another_shape_raises(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"a mask for scores of shape \(2, 3, 7\) must have shape \(2, 7\)"):
        score_mask(torch.ones(shape, dtype=torch.bool), (2, 3, 7))


@pytest.mark.unhooked
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
def test_a_mask_of_another_dtype_raises(dtype: torch.dtype) -> None:
    with pytest.raises(InvalidInput, match="a mask must be bool"):
        score_mask(torch.ones(2, 7, dtype=dtype), (2, 3, 7))
    with pytest.raises(InvalidInput, match="a mask must be bool"):
        check_key_mask(torch.ones(2, 7, dtype=dtype), torch.zeros(2, 7, 5))


@pytest.mark.unhooked
@pytest.mark.parametrize("shape", [(7,), (1, 7), (2, 1), (7, 2), (2, 3, 7)])
def test_a_key_mask_of_another_shape_raises(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"the key mask must have shape \(2, 7\)"):
        check_key_mask(torch.ones(shape, dtype=torch.bool), torch.zeros(2, 7, 5))


def test_a_key_mask_that_fits_or_none_is_accepted() -> None:
    check_key_mask(None, torch.zeros(2, 7, 5))
    check_key_mask(torch.ones(2, 7, dtype=torch.bool), torch.zeros(2, 7, 5))
