import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from saccade.nets.projection import ROWS, Projection, Scratch
from tests.checks import LargestTensor, assert_twins, leaf

IGNORE = 0


def make_projection(*shape: int, size: int = 7, vocabulary: int = 11) -> tuple[Projection, Tensor]:
    projection = Projection(leaf(*shape, size), leaf(vocabulary, size), leaf(vocabulary))
    targets = torch.randint(vocabulary, shape)
    targets.flatten()[::3] = IGNORE
    return projection, targets


def slow_cross_entropy(projection: Projection, targets: Tensor, smoothing: float) -> Tensor:
    """Mean over the targets kept of - sum_v q_v log p_v: q is 1 - s on the target and s / (V - 1) on all but IGNORE."""
    total, kept = torch.zeros((), dtype=torch.float64), 0
    size = len(projection.bias)
    for row, target in zip(projection.features.flatten(0, -2), targets.flatten().tolist(), strict=True):
        if target == IGNORE:
            continue
        logits = [projection.weight[v] @ row + projection.bias[v] for v in range(size)]
        normaliser = torch.log(sum(torch.exp(logit) for logit in logits))
        for v in range(size):
            share = (smoothing / (size - 1) if v != IGNORE else 0) + (1 - smoothing if v == target else 0)
            total = total - share * (logits[v] - normaliser)
        kept += 1
    return total / kept


def torch_cross_entropy(projection: Projection, targets: Tensor, smoothing: float) -> Tensor:
    log_probs = projection.logits().flatten(0, -2).log_softmax(-1)
    plain = functional.nll_loss(log_probs, targets.flatten(), ignore_index=IGNORE)
    symbols = [v for v in range(log_probs.shape[1]) if v != IGNORE]
    spread = -log_probs[:, symbols].mean(1)[targets.flatten() != IGNORE].mean()
    return (1 - smoothing) * plain + smoothing * spread


def test_logits_are_weight_times_features_plus_bias() -> None:
    projection, _ = make_projection(2, 3)
    logits = projection.logits()
    for place in [(0, 0), (1, 2)]:
        for v in range(11):
            expected = projection.weight[v] @ projection.features[place] + projection.bias[v]
            torch.testing.assert_close(logits[place][v], expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_equals_its_slow_twin(smoothing: float) -> None:
    projection, targets = make_projection(2, 5)
    assert_twins(
        lambda: projection.cross_entropy(targets, IGNORE, smoothing),
        lambda: slow_cross_entropy(projection, targets, smoothing),
        projection,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 5])
def test_cross_entropy_equals_torch_for_any_number_of_rows(rows: int, smoothing: float) -> None:
    projection, targets = make_projection(1, rows)
    targets.view(-1)[0] = 3
    assert_twins(
        lambda: projection.cross_entropy(targets, IGNORE, smoothing),
        lambda: torch_cross_entropy(projection, targets, smoothing),
        projection,
    )


@pytest.mark.parametrize("ignore", [-100, 10])
def test_the_ignored_symbol_may_be_any_number(ignore: int) -> None:
    projection, targets = make_projection(3, 5)
    targets[1, 2] = ignore
    expected = functional.cross_entropy(projection.logits().flatten(0, 1), targets.flatten(), ignore_index=ignore)
    torch.testing.assert_close(projection.cross_entropy(targets, ignore), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_of_ignored_targets_has_no_loss_and_no_gradient(smoothing: float) -> None:
    projection, targets = make_projection(3, 5)
    loss = projection.cross_entropy(torch.full_like(targets, IGNORE), IGNORE, smoothing)
    assert loss.item() == 0
    for slope in torch.autograd.grad(loss, projection):
        assert torch.equal(slope, torch.zeros_like(slope))


def test_an_ignored_row_has_no_influence_to_the_last_bit() -> None:
    projection, targets = make_projection(3, 5)
    ignored = (targets == IGNORE)[:, :, None]
    other = projection._replace(features=projection.features.detach().masked_fill(ignored, 1e3).requires_grad_())
    losses = [which.cross_entropy(targets, IGNORE) for which in (projection, other)]
    assert torch.equal(losses[0], losses[1])
    ours, theirs = (torch.autograd.grad(loss, which) for loss, which in zip(losses, (projection, other), strict=True))
    assert not theirs[0].masked_select(ignored).any()
    for our, their in zip(ours, theirs, strict=True):
        assert torch.equal(our, their)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_huge_logits_give_no_nan(size: float) -> None:
    projection = Projection(
        torch.full((2, 3, 1), size, requires_grad=True), torch.tensor([[1.0], [-1.0], [0.5]]), torch.zeros(3)
    )
    targets = torch.tensor([[1, 2, 0], [0, 1, 2]])
    loss = projection.cross_entropy(targets, -1, 0.1)
    (slope,) = torch.autograd.grad(loss, projection.features)
    torch.testing.assert_close(loss, functional.cross_entropy(
        projection.logits().flatten(0, 1), targets.flatten(), label_smoothing=0.1
    ))  # fmt: skip
    assert loss.isfinite()
    assert slope.isfinite().all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_ignored_symbol_may_be_forbidden(smoothing: float) -> None:
    """With a logit of -inf; symbols without a share in the loss have no gradient."""
    projection, targets = make_projection(3, 5)
    forbidden = projection._replace(bias=projection.bias.detach().index_fill(0, torch.tensor(IGNORE), -torch.inf))
    loss = forbidden.cross_entropy(targets, IGNORE, smoothing)
    kept = [v for v in range(11) if v != IGNORE]
    log_probs = projection.logits()[..., kept].log_softmax(-1)[targets != IGNORE]
    plain = -log_probs.gather(1, targets[targets != IGNORE][:, None] - 1).mean()
    expected = (1 - smoothing) * plain - smoothing * log_probs.mean()
    torch.testing.assert_close(loss, expected)
    ours, theirs = (torch.autograd.grad(x, [projection.features, projection.weight]) for x in (loss, expected))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their)


@pytest.mark.parametrize("rows", [1, ROWS, ROWS + 1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_the_largest_are_those_of_all_log_probabilities(rows: int, dtype: torch.dtype, autocast: bool) -> None:
    exact, _ = make_projection(rows, vocabulary=997)
    projection = Projection(*(part.detach().to(dtype) for part in exact))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        log_probs = projection.log_probs()
        values, symbols = projection.largest(5)
    assert values.dtype == log_probs.dtype
    expected = log_probs.topk(5, dim=1)
    exactly = dtype == torch.float64  # in bfloat16 one is rounded before the bias is added, the other after it
    close = {"rtol": 1e-12 if exactly else 1e-2, "atol": 1e-12 if exactly else 0.1}
    torch.testing.assert_close(values, expected.values, **close)
    torch.testing.assert_close(log_probs.gather(1, symbols), expected.values, **close)


def test_reusing_a_scratch_does_not_change_results() -> None:
    scratch = Scratch()
    for rows, vocabulary, dtype in (
        (7, 900, torch.float32), (ROWS + 3, 900, torch.float32), (5, 900, torch.float32), (5, 40, torch.float32),
        (5, 40, torch.float64), (9, 40, torch.bfloat16), (3, 40, torch.bfloat16),
    ):  # fmt: skip
        parts = [torch.randn(*shape).to(dtype) for shape in ((rows, 6), (vocabulary, 6), (vocabulary,))]
        before = Projection(*parts).largest(3, scratch)
        kept = [found.clone() for found in before]
        Projection(*[torch.randn_like(part) for part in parts]).largest(3, scratch)
        for found, other, expected in zip(before, kept, Projection(*parts).largest(3), strict=True):
            assert torch.equal(found, expected)
            assert torch.equal(found, other), "what was found stands in the scratch"


def test_a_scratch_reuses_its_memory() -> None:
    scratch, like = Scratch(), torch.empty(0)
    first = scratch.matrix(5, 8, like, torch.float32)
    assert scratch.matrix(3, 8, like, torch.float32).data_ptr() == first.data_ptr()
    assert scratch.matrix(9, 8, like, torch.float32).shape == (9, 8)
    assert scratch.matrix(2, 8, like, torch.float64).dtype == torch.float64


def test_log_probabilities_are_float32_under_autocast() -> None:
    exact, _ = make_projection(3, 5, vocabulary=997)
    single = Projection(*(part.detach().float() for part in exact))
    with torch.autocast("cpu", torch.bfloat16):
        log_probs = single.log_probs()
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(3, 5))
    assert exact.log_probs().dtype == torch.float64


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bfloat16_autocast_is_as_accurate_as_torch(smoothing: float) -> None:
    exact, targets = make_projection(3, 131, size=67, vocabulary=31)
    single = Projection(*(part.detach().float().mul(0.3).requires_grad_() for part in exact))
    reference = torch_cross_entropy(single, targets, smoothing)
    slopes = torch.autograd.grad(reference, single)
    with torch.autocast("cpu", torch.bfloat16):
        loss = single.cross_entropy(targets, IGNORE, smoothing)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, reference, rtol=5e-3, atol=0)
    for ours, theirs, part in zip(torch.autograd.grad(loss, single), slopes, single, strict=True):
        assert ours.dtype == part.dtype
        assert (ours - theirs).norm() < 1e-2 * theirs.norm()


def test_features_may_be_bfloat16_over_float32_weights_under_autocast() -> None:
    exact, targets = make_projection(3, 5)
    features, weight, bias = (part.detach().float() for part in exact)
    half = Projection(features.bfloat16().requires_grad_(), weight.requires_grad_(), bias.requires_grad_())
    with torch.autocast("cpu", torch.bfloat16):
        loss = half.cross_entropy(targets, IGNORE)
    whole = Projection(half.features.detach().float().requires_grad_(), weight, bias)
    reference = torch_cross_entropy(whole, targets, 0.0)
    torch.testing.assert_close(loss, reference, rtol=1e-2, atol=0)
    ours, theirs = torch.autograd.grad(loss, half), torch.autograd.grad(reference, whole)
    assert [slope.dtype for slope in ours] == [torch.bfloat16, torch.float32, torch.float32]
    for our, their in zip(ours, theirs, strict=True):
        assert (our.float() - their).norm() < 2e-2 * their.norm()


@pytest.mark.parametrize("frozen", [{0}, {1, 2}, {0, 2}])
def test_parts_may_be_frozen(frozen: set[int]) -> None:
    projection, targets = make_projection(3, 5)
    expected = torch.autograd.grad(torch_cross_entropy(projection, targets, 0.0), projection)
    parts = [part.detach().requires_grad_(place not in frozen) for place, part in enumerate(projection)]
    Projection(*parts).cross_entropy(targets, IGNORE).backward()
    for place, (part, slope) in enumerate(zip(parts, expected, strict=True)):
        if place in frozen:
            assert part.grad is None
        else:
            torch.testing.assert_close(part.grad, slope, rtol=1e-12, atol=1e-14)


def test_it_can_be_differentiated_once() -> None:
    projection, targets = make_projection(3, 5)
    loss = projection.cross_entropy(targets, IGNORE)
    (slope,) = torch.autograd.grad(loss, projection.features, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(slope.sum(), projection.weight)


def test_the_gradient_is_scaled_by_that_of_the_loss() -> None:
    projection, targets = make_projection(3, 5)
    expected = torch.autograd.grad(torch_cross_entropy(projection, targets, 0.0), projection)
    loss = projection.cross_entropy(targets, IGNORE)
    for ours, theirs in zip(torch.autograd.grad(-3 * loss, projection, retain_graph=True), expected, strict=True):
        torch.testing.assert_close(ours, -3 * theirs, rtol=1e-12, atol=1e-14)
    with pytest.raises(RuntimeError, match="was already computed"):
        torch.autograd.grad(loss, projection)


def test_the_logits_of_all_rows_are_never_held_at_once() -> None:
    rows, vocabulary = 5 * ROWS, 61
    projection, targets = make_projection(1, rows, vocabulary=vocabulary)
    with LargestTensor() as largest:
        projection.cross_entropy(targets, IGNORE, 0.1).backward()
    assert largest.elements == ROWS * vocabulary


class Products(TorchDispatchMode):
    """Counts matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.made += func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_)
        return func(*args, **(kwargs or {}))


def test_evaluation_computes_no_gradient() -> None:
    projection, targets = make_projection(1, 3 * ROWS)
    with Products() as learning:
        expected = projection.cross_entropy(targets, IGNORE)
    with torch.no_grad(), Products() as evaluating:
        loss = projection.cross_entropy(targets, IGNORE)
    assert torch.equal(loss, expected)
    assert not loss.requires_grad
    assert evaluating.made == 3
    assert learning.made == 9


def test_the_loss_of_a_uniform_model_is_the_log_of_the_vocabulary() -> None:
    projection = Projection(torch.randn(2, 3, 5), torch.zeros(7, 5), torch.full((7,), 2.0))
    loss = projection.cross_entropy(torch.randint(1, 7, (2, 3)), IGNORE, 0.1)
    assert math.isclose(loss.item(), math.log(7), rel_tol=1e-6)
