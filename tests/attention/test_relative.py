import pytest
import torch
from torch import Tensor

from saccade.attention import MultiHeadAttention, RelativeAttention
from saccade.attention.positions import sinusoid
from saccade.attention.relative import relative_shift
from saccade.core.errors import InvalidInput
from saccade.explain import capture
from tests.checks import LargestTensor, assert_twins, leaf, randomised

BATCH, HEADS, LENGTH, MEMORY, MODEL, SIZE = 2, 3, 5, 4, 21, 7
KEYS = MEMORY + LENGTH


def slow(
    attention: RelativeAttention, inputs: Tensor, memory: Tensor, allowed: Tensor, same: Tensor | None = None
) -> Tensor:
    """One sequence, query and head at a time, by the five products of the equation; `allowed` is (b, h, q, k), and
    `same` (b, q, k)."""
    joined, rows = torch.cat([memory.detach(), inputs], 1), []
    for b in range(len(inputs)):
        for i in range(inputs.shape[1]):
            parts = []
            for head in range(HEADS):
                own = slice(head * SIZE, (head + 1) * SIZE)
                query = attention.query.weight[own] @ inputs[b, i]
                u, v = attention.content_bias[head], attention.position_bias[head]
                scores, values = [], []
                for j in range(joined.shape[1]):
                    if not allowed[b, head, i, j]:
                        continue
                    key = attention.key.weight[own] @ joined[b, j]
                    distance = torch.tensor([memory.shape[1] + i - j], dtype=torch.float64)
                    position = attention.position.weight[own] @ sinusoid(distance, MODEL)[0]
                    score = query @ key + query @ position + u @ key + v @ position
                    if same is not None:
                        assert attention.segment is not None
                        assert attention.segment_bias is not None
                        which = attention.segment[0 if same[b, i, j] else 1, head]
                        score = score + (query + attention.segment_bias[head]) @ which
                    scores.append(score / SIZE**0.5)
                    values.append(attention.value.weight[own] @ joined[b, j])
                weights = torch.stack(scores).exp() / torch.stack(scores).exp().sum() if scores else torch.zeros(0)
                parts.append(sum((w * x for w, x in zip(weights, values, strict=True)), torch.zeros(SIZE).double()))
            rows.append(attention.output.weight @ torch.cat(parts))
    return torch.stack(rows).view(*inputs.shape)


def triangle(queries: int = LENGTH, keys: int = KEYS) -> Tensor:
    return torch.tensor([[j <= keys - queries + i for j in range(keys)] for i in range(queries)])


@pytest.mark.parametrize("causal", [False, True])
def test_it_equals_its_slow_twin(causal: bool) -> None:
    attention, inputs = randomised(RelativeAttention(MODEL, HEADS)), leaf(BATCH, LENGTH, MODEL)
    memory, mask = torch.randn(BATCH, MEMORY, MODEL).double(), torch.arange(KEYS) >= torch.tensor([[0], [2]])
    allowed = (mask[:, None, None] & (triangle() | (not causal))).expand(-1, HEADS, LENGTH, KEYS)
    assert_twins(
        lambda: attention(inputs, memory, mask, causal),
        lambda: slow(attention, inputs, memory, allowed),
        [inputs, *attention.parameters()],
    )


def test_segments_and_a_mask_of_the_scores_equal_the_slow_twin() -> None:
    attention = randomised(RelativeAttention(MODEL, HEADS, segments=True))
    inputs, memory = leaf(BATCH, LENGTH, MODEL), torch.randn(BATCH, MEMORY, MODEL).double()
    allowed = torch.rand(BATCH, HEADS, LENGTH, KEYS) < 0.6
    segments = torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1, 1], [4, 4, 4, 4, 7, 7, 7, 4, 9]])
    same = segments[:, MEMORY:, None] == segments[:, None]
    assert_twins(
        lambda: attention(inputs, memory, allowed, segments=segments),
        lambda: slow(attention, inputs, memory, allowed, same),
        [inputs, *attention.parameters()],
    )


@pytest.mark.parametrize("ahead", [0, 1])
def test_other_places_equal_the_rows_of_one_pass(ahead: int) -> None:
    attention, inputs = randomised(RelativeAttention(MODEL, HEADS)), leaf(BATCH, LENGTH, MODEL)
    mask = torch.rand(BATCH, 1, LENGTH, LENGTH) < 0.6
    chosen = torch.tensor([[0, 3], [2, 4]])
    rows = chosen[..., None].expand(-1, -1, MODEL)

    def whole() -> Tensor:
        return attention.attend(inputs, attention.project(inputs, LENGTH), mask, ahead=ahead).gather(1, rows)

    def part() -> Tensor:
        of_mask = mask.gather(2, chosen[:, None, :, None].expand(-1, 1, -1, LENGTH))
        heads = attention.project(inputs, LENGTH)
        return attention.attend(inputs.gather(1, rows), heads, of_mask, places=chosen + ahead)

    assert_twins(part, whole, [inputs, *attention.parameters()])


def test_a_query_ahead_is_one_place_further() -> None:
    attention, inputs = randomised(RelativeAttention(MODEL, HEADS)), leaf(1, LENGTH, MODEL)
    query = leaf(1, LENGTH, MODEL)
    found = attention.attend(query, attention.project(inputs, LENGTH), causal=True, ahead=1)
    for i in range(LENGTH):
        # the last key of a longer sequence is masked, so that the query at its place does not see it
        longer = torch.cat([inputs[:, : i + 1], torch.randn(1, 1, MODEL).double()], 1)
        mask = torch.arange(i + 2)[None] <= i
        alone = attention.attend(query[:, i : i + 1], attention.project(longer, 1), mask)
        torch.testing.assert_close(alone[:, 0], found[:, i])


class TestShift:
    @pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 7), (5, 5), (3, 7), (5, 0)])
    @pytest.mark.parametrize("ahead", [0, 1])
    def test_it_picks_the_distance_of_each_pair(self, queries: int, keys: int, ahead: int) -> None:
        distances = torch.arange(keys, -queries, -1).double().expand(2, 3, queries, -1)
        expected = [[keys - queries + i + ahead - j for j in range(keys)] for i in range(queries)]
        found = relative_shift(distances.contiguous(), keys, ahead)
        assert found.tolist() == torch.tensor(expected).view(queries, keys).expand(2, 3, -1, -1).tolist()

    def test_it_copies_nothing(self) -> None:
        products = torch.randn(2, 3, 5, 12)
        assert relative_shift(products, 7).untyped_storage().data_ptr() == products.untyped_storage().data_ptr()
        turned = torch.randn(3, 2, 5, 12).transpose(0, 1)  # as einsum leaves it
        assert relative_shift(turned, 7).untyped_storage().data_ptr() == turned.untyped_storage().data_ptr()


def test_without_positions_it_is_multi_head_attention() -> None:
    ours, theirs = randomised(RelativeAttention(MODEL, HEADS)), MultiHeadAttention(MODEL, HEADS).double()
    with torch.no_grad():
        for zero in (ours.position.weight, ours.content_bias, ours.position_bias):
            zero.zero_()
        for name in ("query", "key", "value", "output"):
            getattr(theirs, name).load_state_dict(getattr(ours, name).state_dict())
    inputs = leaf(BATCH, LENGTH, MODEL)
    for causal in (False, True):
        torch.testing.assert_close(ours(inputs, causal=causal), theirs(inputs, inputs, causal=causal))


def test_scores_depend_on_distances_alone() -> None:
    attention = randomised(RelativeAttention(MODEL, HEADS))
    inputs, more = leaf(BATCH, LENGTH, MODEL), torch.randn(BATCH, 3, MODEL).double()
    mask = torch.arange(LENGTH + 3) >= 3
    moved = attention(torch.cat([more, inputs], 1), mask=mask.expand(BATCH, -1))
    torch.testing.assert_close(moved[:, 3:], attention(inputs))


def test_a_memory_and_the_next_segment_equal_one_pass() -> None:
    attention, inputs = randomised(RelativeAttention(MODEL, HEADS)), leaf(BATCH, KEYS, MODEL)
    whole = attention(inputs, causal=True)
    torch.testing.assert_close(attention(inputs[:, MEMORY:], inputs[:, :MEMORY], causal=True), whole[:, MEMORY:])


def test_no_gradient_reaches_the_memory() -> None:
    attention, inputs, memory = randomised(RelativeAttention(MODEL, HEADS)), leaf(1, 2, MODEL), leaf(1, 3, MODEL)
    attention(inputs, memory).sum().backward()
    assert memory.grad is None
    assert inputs.grad is not None


def test_padding_equals_cut_off() -> None:
    attention, inputs = randomised(RelativeAttention(MODEL, HEADS)), leaf(BATCH, LENGTH, MODEL)
    padded = torch.cat([inputs, torch.randn(BATCH, 2, MODEL).double()], 1)
    mask = (torch.arange(LENGTH + 2) < LENGTH).expand(BATCH, -1)
    torch.testing.assert_close(attention(padded, mask=mask)[:, :LENGTH], attention(inputs))


def test_nothing_to_attend_is_zero_with_zero_gradient() -> None:
    attention, inputs = randomised(RelativeAttention(MODEL, HEADS)), leaf(BATCH, LENGTH, MODEL)
    context = attention(inputs, mask=torch.tensor([[True], [False]]).expand(BATCH, LENGTH))
    assert not context[1].any()
    [slope] = torch.autograd.grad(context.square().sum(), [inputs])
    assert not slope[1].any()
    assert slope[0].any()


def test_the_tap_hears_the_weights_and_they_can_be_replaced() -> None:
    attention, inputs = randomised(RelativeAttention(MODEL, HEADS)), leaf(BATCH, LENGTH, MODEL)
    silent = attention(inputs, causal=True)
    with capture(attention) as seen:
        assert torch.equal(attention(inputs, causal=True), silent)
    [weights] = seen["weights"]
    assert not weights.triu(1).any()
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, HEADS, LENGTH).double())
    with capture(attention, replace=lambda name, weights: torch.eye(LENGTH).double().expand_as(weights)):
        replaced = attention(inputs)
    torch.testing.assert_close(replaced, attention.output(attention.value(inputs)))


def test_no_tensor_is_larger_than_the_scores_and_their_distances() -> None:
    size = 61
    attention, inputs = RelativeAttention(MODEL, HEADS), leaf(1, size, MODEL, dtype=torch.float32)
    with LargestTensor() as largest:
        attention(inputs, causal=True).sum().backward()
    assert largest.elements <= HEADS * size * 2 * size


def test_dropout_is_on_the_weights_in_training_alone() -> None:
    attention, inputs = RelativeAttention(MODEL, HEADS, dropout=0.5).double(), leaf(1, LENGTH, MODEL)
    torch.manual_seed(0)
    assert not torch.equal(attention(inputs), attention(inputs))
    attention.eval()
    assert torch.equal(attention(inputs), attention(inputs))


def test_bfloat16_is_close() -> None:
    attention, inputs = RelativeAttention(MODEL, HEADS), torch.randn(BATCH, LENGTH, MODEL)
    found = []
    for wanted in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=wanted), capture(attention) as seen:
            attention(inputs)
            found.append(seen["weights"][0].float())
    torch.testing.assert_close(*found, rtol=0, atol=0.05)


@pytest.mark.unhooked
def test_bad_sizes_and_masks_raise() -> None:
    with pytest.raises(InvalidInput, match="4 heads do not divide a width of 21"):
        RelativeAttention(MODEL, 4)
    with pytest.raises(InvalidInput, match="must be at least 1"):
        RelativeAttention(0, 1)
    attention, inputs = RelativeAttention(MODEL, HEADS), torch.randn(BATCH, LENGTH, MODEL)
    with pytest.raises(InvalidInput, match=r"\(batch, positions, 21\), not \(2, 5, 20\)"):
        attention(inputs[..., 1:])
    with pytest.raises(InvalidInput, match=r"must have shape \(2, 9\) or that of the scores"):
        attention(inputs, torch.randn(BATCH, MEMORY, MODEL), torch.ones(BATCH, LENGTH, dtype=torch.bool))
    with pytest.raises(InvalidInput, match="segments=True"):
        attention(inputs, segments=torch.zeros(BATCH, LENGTH, dtype=torch.long))


@pytest.mark.unhooked
def test_it_compiles_without_graph_breaks() -> None:
    attention, inputs = RelativeAttention(MODEL, HEADS), leaf(BATCH, 11, MODEL, dtype=torch.float32)
    compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(inputs, causal=True), attention(inputs, causal=True))


def test_padding_between_keys_takes_no_place() -> None:
    attention, inputs = randomised(RelativeAttention(MODEL, HEADS)), leaf(1, LENGTH, MODEL)
    apart = torch.cat([inputs[:, :2], torch.randn(1, 3, MODEL).double(), inputs[:, 2:]], 1)
    mask = torch.tensor([[True, True, False, False, False, True, True, True]])
    places = mask.cumsum(1) - 1
    heads = attention.project(apart, LENGTH + 3)
    found = attention.attend(apart, heads, mask, places=places, key_places=places)
    torch.testing.assert_close(found[mask], attention(inputs)[0])
