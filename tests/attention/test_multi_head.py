import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from saccade.attention import Attention, MultiHeadAttention
from saccade.core.errors import InvalidInput
from saccade.explain import capture
from tests.attention.test_dot_product import slow
from tests.checks import LargestTensor, assert_twins, leaf, randomised, unchanged

BATCH, HEADS, QUERIES, KEYS, MODEL, SIZE, VALUE_SIZE = 2, 3, 5, 7, 12, 11, 13


def slow_multi_head(
    attention: MultiHeadAttention, query: Tensor, keys: Tensor, values: Tensor, allowed: Tensor
) -> Tensor:
    """sum_i attention(Q W_i^Q, K W_i^K, V W_i^V) W_i^O, one head at a time; `allowed` is (b, h, q, k)."""
    total: Tensor | float = attention.output.bias if attention.output.bias is not None else 0.0

    def rows(projection: nn.Linear, head: int) -> tuple[Tensor, Tensor | float]:
        size = projection.out_features // attention.heads
        part = slice(head * size, (head + 1) * size)
        return projection.weight[part], projection.bias[part] if projection.bias is not None else 0.0

    for head in range(attention.heads):
        projected = []
        for projection, inputs in zip(
            (attention.query, attention.key, attention.value), (query, keys, values), strict=True
        ):
            weight, bias = rows(projection, head)
            projected.append((inputs @ weight.mT + bias)[:, None])
        context, _ = slow(*projected, allowed[:, head : head + 1])
        size = context.shape[-1]
        total = total + context[:, 0] @ attention.output.weight[:, head * size : (head + 1) * size].mT
    assert isinstance(total, Tensor)
    return total


def everything(queries: int = QUERIES) -> Tensor:
    return torch.ones(BATCH, HEADS, queries, KEYS, dtype=torch.bool)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("head_size", "value_size"), [(None, None), (SIZE, VALUE_SIZE)])
def test_it_equals_its_slow_twin(bias: bool, head_size: int | None, value_size: int | None) -> None:
    attention = randomised(MultiHeadAttention(MODEL, HEADS, head_size=head_size, value_size=value_size, bias=bias))
    query, keys, values = leaf(BATCH, QUERIES, MODEL), leaf(BATCH, KEYS, MODEL), leaf(BATCH, KEYS, MODEL)
    mask = torch.rand(BATCH, KEYS) < 0.6
    mask[:, 0] = True
    # a bias of the keys shifts all scores of a query equally, so its gradient is zero
    assert_twins(
        lambda: attention(query, keys, mask, values),
        lambda: slow_multi_head(attention, query, keys, values, everything() & mask[:, None, None]),
        [query, keys, values, *attention.parameters()],
    )


def test_self_attention_with_a_mask_of_the_scores_and_causal() -> None:
    attention, inputs = randomised(MultiHeadAttention(MODEL, HEADS)), leaf(BATCH, KEYS, MODEL)
    mask = torch.rand(BATCH, HEADS, KEYS, KEYS) < 0.6
    mask[..., 0] = True
    triangle = torch.tensor([[k <= q for k in range(KEYS)] for q in range(KEYS)])
    assert_twins(
        lambda: attention(inputs, inputs, mask, causal=True),
        lambda: slow_multi_head(attention, inputs, inputs, inputs, mask & triangle),
        [inputs, *attention.parameters()],
    )


def test_it_equals_torch_on_the_same_weights() -> None:
    ours = randomised(MultiHeadAttention(MODEL, HEADS, bias=True))
    theirs = nn.MultiheadAttention(MODEL, HEADS, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    query, keys, mask = leaf(BATCH, QUERIES, MODEL), leaf(BATCH, KEYS, MODEL), torch.rand(BATCH, KEYS) < 0.6
    mask[:, 0] = True
    # torch's masks are inverted: True = blocked
    expected, weights = theirs(query, keys, keys, key_padding_mask=~mask, average_attn_weights=False)
    with capture(ours) as seen:
        torch.testing.assert_close(ours(query, keys, mask), expected)
    torch.testing.assert_close(seen["weights"][0], weights)


def test_steps_with_a_cache_equal_all_at_once() -> None:
    attention, inputs = randomised(MultiHeadAttention(MODEL, HEADS)), leaf(BATCH, KEYS, MODEL)
    whole = attention(inputs, inputs, causal=True)
    past = None
    for t in range(KEYS):
        past = attention.extend(past, inputs[:, t : t + 1])
        torch.testing.assert_close(attention.attend(inputs[:, t : t + 1], past.heads, causal=True)[:, 0], whole[:, t])
    two = attention.extend(attention.extend(None, inputs[:, :3]), inputs[:, 3:])
    torch.testing.assert_close(attention.attend(inputs[:, 3:], two.heads, causal=True), whole[:, 3:])


def test_a_mask_of_the_scores_is_combined_with_that_of_the_keys() -> None:
    attention, query, keys = (
        randomised(MultiHeadAttention(MODEL, HEADS)),
        leaf(BATCH, QUERIES, MODEL),
        leaf(BATCH, KEYS, MODEL),
    )
    mask, scores = torch.arange(KEYS).expand(BATCH, KEYS) < 4, torch.rand(BATCH, 1, QUERIES, KEYS) < 0.6
    found = attention.attend(query, attention.prepare(keys, mask), scores)
    torch.testing.assert_close(found, attention(query, keys, mask[:, None, None] & scores))


def test_a_capture_does_not_change_a_checkpointed_model() -> None:
    attention, inputs = randomised(MultiHeadAttention(MODEL, HEADS)), leaf(BATCH, KEYS, MODEL)
    with capture(attention) as seen:
        output = checkpoint(attention, inputs, inputs, use_reentrant=False)
    (slope,) = torch.autograd.grad(output.sum(), inputs)  # recomputes after the capture has ended
    torch.testing.assert_close(slope, torch.autograd.grad(attention(inputs, inputs).sum(), inputs)[0])
    assert len(seen["weights"]) == 1


def test_a_capture_changes_neither_kernel_nor_output() -> None:
    size = 61
    attention, inputs = MultiHeadAttention(MODEL, HEADS), leaf(1, size, MODEL, dtype=torch.float32)
    silent = attention(inputs, inputs, causal=True)
    with capture(attention) as seen:
        assert torch.equal(attention(inputs, inputs, causal=True), silent)
    [weights] = seen["weights"]
    assert weights.shape == (1, HEADS, size, size)
    values = attention.prepare(inputs).values
    torch.testing.assert_close(attention.output((weights @ values).transpose(1, 2).flatten(2)), silent)
    with LargestTensor() as largest:
        attention(inputs, inputs, causal=True)
    assert largest.elements < size * size


def test_weights_can_be_replaced() -> None:
    attention, keys = randomised(MultiHeadAttention(MODEL, HEADS)), leaf(BATCH, KEYS, MODEL)
    query = leaf(BATCH, QUERIES, MODEL)

    def only_the_first(name: str, weights: Tensor) -> Tensor:
        return torch.zeros_like(weights).index_fill_(-1, torch.tensor([0]), 1.0)

    with capture(attention, replace=only_the_first):
        replaced = attention(query, keys)
    torch.testing.assert_close(replaced, attention(query, keys[:, :1]))
    with capture(attention, replace=lambda name, weights: None):
        torch.testing.assert_close(attention(query, keys), attention.attend(query, attention.prepare(keys)))


def test_nothing_to_attend_is_zero_with_zero_gradient() -> None:
    attention = MultiHeadAttention(MODEL, HEADS).double()
    query, keys = leaf(BATCH, QUERIES, MODEL), leaf(BATCH, KEYS, MODEL)
    context = attention(query, keys, torch.tensor([[True], [False]]).expand(BATCH, KEYS))
    assert not context[1].any()
    for slope in torch.autograd.grad(context.square().sum(), [query, keys]):
        assert slope.isfinite().all()
        assert not slope[1].any()
        assert slope[0].any()


@pytest.mark.parametrize("causal", [False, True])
def test_masked_equals_cut_off(causal: bool) -> None:
    attention = randomised(MultiHeadAttention(MODEL, HEADS))
    inputs = leaf(BATCH, KEYS, MODEL)
    mask = torch.arange(KEYS).expand(BATCH, KEYS) < 4
    long = attention(inputs, inputs, mask, causal=causal)[:, :4]
    torch.testing.assert_close(long, attention(inputs[:, :4], inputs[:, :4], causal=causal), rtol=0, atol=1e-14)


def test_a_read_equals_attention_of_one_query() -> None:
    attention, keys = randomised(MultiHeadAttention(MODEL, HEADS)), leaf(BATCH, KEYS, MODEL)
    assert isinstance(attention, Attention)
    query, prepared = leaf(BATCH, QUERIES, MODEL), attention.prepare(keys)
    many = attention.read(query, prepared, attention.initial_state(prepared))
    torch.testing.assert_close(many.context, attention(query, keys))
    one = attention.read(query[:, 2], prepared)
    torch.testing.assert_close(one.context, many.context[:, 2])
    torch.testing.assert_close(one.weights, many.weights[:, 2])


def test_it_keeps_no_state() -> None:
    attention = MultiHeadAttention(MODEL, HEADS)
    with unchanged(attention), capture(attention):
        inputs = leaf(BATCH, KEYS, MODEL, dtype=torch.float32)
        attention(inputs, inputs)
    assert list(attention.state_dict()) == ["query.weight", "key.weight", "value.weight", "output.weight"]


def test_dropout_acts_on_every_path() -> None:
    attention, inputs = MultiHeadAttention(MODEL, HEADS, dropout=0.5), leaf(BATCH, KEYS, MODEL, dtype=torch.float32)
    with capture(attention, replace=lambda name, weights: None):
        assert not torch.equal(attention(inputs, inputs), attention(inputs, inputs))
    prepared = attention.prepare(inputs)
    assert not torch.equal(attention.read(inputs, prepared).context, attention.read(inputs, prepared).context)


def test_dropout_drops_weights_only_in_training() -> None:
    attention, inputs = MultiHeadAttention(MODEL, HEADS, dropout=0.5), leaf(BATCH, KEYS, MODEL, dtype=torch.float32)
    assert not torch.allclose(attention(inputs, inputs), attention(inputs, inputs))
    attention.eval()
    assert torch.equal(attention(inputs, inputs), attention(inputs, inputs))


@pytest.mark.unhooked
class TestBadInput:
    def test_heads_that_do_not_divide_the_width(self) -> None:
        with pytest.raises(InvalidInput, match="5 heads do not divide a width of 12"):
            MultiHeadAttention(12, 5)
        MultiHeadAttention(12, 5, head_size=2, value_size=3)

    @pytest.mark.parametrize("sizes", [(0, None, None), (3, 0, None), (3, 4, 0)])
    def test_sizes_below_one(self, sizes: tuple[int, int | None, int | None]) -> None:
        heads, head_size, value_size = sizes
        with pytest.raises(InvalidInput, match="must be at least 1"):
            MultiHeadAttention(12, heads, head_size=head_size, value_size=value_size)

    @pytest.mark.parametrize(
        ("query", "keys", "mask", "message"),
        [
            ((2, 5, 11), (2, 7, 12), None, "queries must have 12 features, not 11"),
            ((2, 5, 12), (2, 7, 11), None, "keys must have 12 features, not 11"),
            ((3, 5, 12), (2, 7, 12), None, "queries of 2 sequences, as the keys, not 3"),
            ((5, 12), (2, 7, 12), None, "queries must be"),
            ((2, 5, 12), (2, 7, 12), torch.ones(2, 7), "must be bool"),
            ((2, 5, 12), (2, 7, 12), torch.ones(2, 5).bool(), r"must have shape \(2, 7\)"),
            ((2, 5, 12), (2, 7, 12), torch.ones(2, 5, 7).bool(), "or that of the scores"),
        ],
    )
    def test_sizes_that_do_not_match_raise(
        self, query: tuple[int, ...], keys: tuple[int, ...], mask: Tensor | None, message: str
    ) -> None:
        with pytest.raises(InvalidInput, match=message):
            MultiHeadAttention(12, 3)(torch.randn(query), torch.randn(keys), mask)

    def test_values_of_another_length_raise(self) -> None:
        with pytest.raises(InvalidInput, match=r"values must be \(2, 7\)"):
            MultiHeadAttention(12, 3)(torch.randn(2, 5, 12), torch.randn(2, 7, 12), None, torch.randn(2, 6, 12))


@pytest.mark.unhooked
def test_it_compiles_without_graph_breaks_with_and_without_a_mask() -> None:
    attention = MultiHeadAttention(12, 3)
    compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
    query, keys, mask = leaf(2, 5, 12, dtype=torch.float32), leaf(2, 7, 12, dtype=torch.float32), torch.rand(2, 7) < 0.6
    for given in ({}, {"mask": mask}):
        ours, theirs = attention(query, keys, **given), compiled(query, keys, **given)
        torch.testing.assert_close(ours, theirs)
        for our, their in zip(*(torch.autograd.grad(x.sum(), [query, keys]) for x in (ours, theirs)), strict=True):
            torch.testing.assert_close(our, their)
    torch.testing.assert_close(attention(keys, keys, causal=True), compiled(keys, keys, causal=True))
