import pytest
import torch
from torch import Tensor

from saccade.attention import MultiHeadAttention, SelfAttention
from saccade.attention.self_attention import joined
from saccade.core.errors import InvalidInput
from saccade.explain import capture
from tests.attention.test_dot_product import slow
from tests.checks import LargestTensor, assert_twins, leaf, randomised

BATCH, HEADS, LENGTH, MODEL, SIZE = 2, 3, 7, 15, 5


def slow_self_attention(attention: SelfAttention, inputs: Tensor, allowed: Tensor) -> Tensor:
    """One head and one position at a time; the rows of the projection are q, k and v of the first head, then of the
    second, and so on. `allowed` is (b, h, q, k)."""
    total: Tensor = attention.output.bias
    for head in range(HEADS):
        rows = [slice((3 * head + n) * SIZE, (3 * head + n + 1) * SIZE) for n in range(3)]
        parts = []
        for part in rows:
            weight, bias = attention.projection.weight[part], attention.projection.bias[part]
            steps = [(weight @ inputs[:, t, :, None])[..., 0] + bias for t in range(LENGTH)]
            parts.append(torch.stack(steps, 1)[:, None])
        context, _ = slow(*parts, allowed[:, head : head + 1])
        total = total + context[:, 0] @ attention.output.weight[:, head * SIZE : (head + 1) * SIZE].mT
    return total


def triangle() -> Tensor:
    return torch.tensor([[k <= q for k in range(LENGTH)] for q in range(LENGTH)]).expand(BATCH, HEADS, -1, -1)


@pytest.mark.parametrize("causal", [False, True])
def test_it_equals_its_slow_twin(causal: bool) -> None:
    attention, inputs = randomised(SelfAttention(MODEL, HEADS)), leaf(BATCH, LENGTH, MODEL)
    mask = torch.arange(LENGTH) >= torch.tensor([[0], [2]])
    allowed = mask[:, None, None] & (triangle() if causal else torch.ones_like(triangle()))
    assert_twins(
        lambda: attention(inputs, mask, causal),
        lambda: slow_self_attention(attention, inputs, allowed),
        [inputs, *attention.parameters()],
    )


def test_it_equals_multi_head_attention_with_the_same_weights() -> None:
    ours, theirs = SelfAttention(MODEL, HEADS).double(), randomised(MultiHeadAttention(MODEL, HEADS, bias=True))
    three = [theirs.query, theirs.key, theirs.value]
    with torch.no_grad():
        ours.projection.weight.copy_(joined(*(one.weight for one in three), HEADS))
        ours.projection.bias.copy_(joined(*(one.bias for one in three), HEADS))
        ours.output.load_state_dict(theirs.output.state_dict())
    inputs, mask = leaf(BATCH, LENGTH, MODEL), torch.rand(BATCH, HEADS, LENGTH, LENGTH) < 0.6
    for causal in (False, True):
        assert_twins(
            lambda causal=causal: ours(inputs, mask, causal),  # type: ignore[misc]
            lambda causal=causal: theirs(inputs, inputs, mask, causal=causal),  # type: ignore[misc]
            [inputs],
        )


@pytest.mark.parametrize("parts", [[1] * LENGTH, [3, 4], [LENGTH]])
def test_steps_with_a_cache_equal_all_at_once(parts: list[int]) -> None:
    attention, inputs = randomised(SelfAttention(MODEL, HEADS)), leaf(BATCH, LENGTH, MODEL)

    def piecewise() -> Tensor:
        past, found = None, []
        for part in inputs.split(parts, 1):
            outputs, past = attention.advance(part, past)
            found.append(outputs)
        return torch.cat(found, 1)

    assert_twins(lambda: attention(inputs, causal=True), piecewise, [inputs, *attention.parameters()])
    with torch.no_grad():
        torch.testing.assert_close(piecewise(), attention(inputs, causal=True))


def test_a_slice_of_the_projection_is_a_group_of_whole_heads() -> None:
    attention, inputs = randomised(SelfAttention(MODEL, HEADS)), leaf(BATCH, LENGTH, MODEL)
    whole = attention.project(inputs)
    rows = slice(3 * SIZE, 9 * SIZE)  # the last two heads
    weight, bias = attention.projection.weight, attention.projection.bias
    attention.projection.weight = torch.nn.Parameter(weight[rows])
    attention.projection.bias = torch.nn.Parameter(bias[rows])
    for part, own in zip(attention.project(inputs), whole, strict=True):
        torch.testing.assert_close(part, own[:, 1:])


def test_a_capture_changes_neither_kernel_nor_output() -> None:
    size = 61
    attention, inputs = SelfAttention(MODEL, HEADS), leaf(1, size, MODEL, dtype=torch.float32)
    silent = attention(inputs, causal=True)
    with capture(attention) as seen:
        assert torch.equal(attention(inputs, causal=True), silent)
    [weights] = seen["weights"]
    assert weights.shape == (1, HEADS, size, size)
    assert not weights.triu(1).any()
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, HEADS, size))
    values = attention.project(inputs)[2]
    torch.testing.assert_close(attention.output((weights @ values).transpose(1, 2).flatten(2)), silent)
    with LargestTensor() as largest:
        attention(inputs, causal=True)
    assert largest.elements < size * size


def test_weights_can_be_replaced() -> None:
    attention, inputs = randomised(SelfAttention(MODEL, HEADS)), leaf(BATCH, LENGTH, MODEL)

    def only_itself(name: str, weights: Tensor) -> Tensor:
        return torch.eye(LENGTH, dtype=torch.float64).expand_as(weights)

    with capture(attention, replace=only_itself):
        replaced = attention(inputs, causal=True)
    torch.testing.assert_close(replaced[:, :1], attention(inputs[:, :1]))
    torch.testing.assert_close(replaced[:, 4:5], attention(inputs[:, 4:5]))


def test_nothing_to_attend_is_zero_with_zero_gradient() -> None:
    attention, inputs = randomised(SelfAttention(MODEL, HEADS)), leaf(BATCH, LENGTH, MODEL)
    context = attention(inputs, torch.tensor([[True], [False]]).expand(BATCH, LENGTH)) - attention.output.bias
    assert not context[1].any()
    [slope] = torch.autograd.grad(context.square().sum(), [inputs])
    assert not slope[1].any()
    assert slope[0].any()


@pytest.mark.unhooked
def test_bad_sizes_raise() -> None:
    with pytest.raises(InvalidInput, match="4 heads do not divide a width of 15"):
        SelfAttention(15, 4)
    with pytest.raises(InvalidInput, match="must be at least 1"):
        SelfAttention(0, 1)
    with pytest.raises(InvalidInput, match=r"expected inputs \(batch, positions, 15\), not \(2, 7, 14\)"):
        SelfAttention(15, 3)(torch.zeros(2, 7, 14))


@pytest.mark.unhooked
def test_it_compiles_without_graph_breaks() -> None:
    attention, inputs = SelfAttention(MODEL, HEADS), leaf(BATCH, 11, MODEL, dtype=torch.float32)
    compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(inputs, causal=True), attention(inputs, causal=True))
