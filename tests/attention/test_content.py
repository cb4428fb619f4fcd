"""Every score function against its formula, one pair at a time, and their special cases."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.attention import AdditiveAttention
from saccade.attention.content import ContentAttention
from saccade.attention.cosine import CosineAttention
from saccade.attention.luong import BilinearAttention, ConcatAttention, DotAttention
from saccade.attention.positional_keys import PositionalKeysAttention
from saccade.attention.scaled_dot import ScaledDotAttention
from saccade.core.errors import InvalidInput
from tests.checks import assert_twins, leaf, randomised

BATCH, QUERIES, KEYS, QUERY_SIZE, KEY_SIZE, WIDTH = 2, 3, 5, 7, 11, 13

Score = Callable[[Any, Tensor, Tensor, int], Tensor]


def dot(attention: DotAttention, q: Tensor, k: Tensor, place: int) -> Tensor:
    return sum(q[i] * k[i] for i in range(len(q)))  # type: ignore[return-value]


def bilinear(attention: BilinearAttention, q: Tensor, k: Tensor, place: int) -> Tensor:
    W = attention.key.weight
    return sum(q[i] * W[i, j] * k[j] for i in range(len(q)) for j in range(len(k)))  # type: ignore[return-value]


def concat(attention: ConcatAttention, q: Tensor, k: Tensor, place: int) -> Tensor:
    both, W = torch.cat([q, k]), attention.hidden.weight
    return sum(attention.v[a] * torch.tanh(W[a] @ both) for a in range(len(W)))  # type: ignore[return-value]


def scaled_dot(attention: ScaledDotAttention, q: Tensor, k: Tensor, place: int) -> Tensor:
    projected = [
        (attention.query.weight[a] @ q) * (attention.key.weight[a] @ k) for a in range(len(attention.query.weight))
    ]
    return sum(projected) / math.sqrt(len(projected))  # type: ignore[return-value]


def cosine(attention: CosineAttention, q: Tensor, k: Tensor, place: int) -> Tensor:
    u = attention.query.weight @ q + attention.query.bias
    strength = torch.log(1 + torch.exp(attention.strength.weight[0] @ q + attention.strength.bias[0]))
    return strength * (u @ k) / (u.square().sum().sqrt() * k.square().sum().sqrt())


def positional(attention: PositionalKeysAttention, q: Tensor, k: Tensor, place: int) -> Tensor:
    W, U, b, v = attention.query.weight, attention.key.weight, attention.key.bias, attention.v
    known = k + attention.positions[place]
    return sum(v[a] * torch.tanh(W[a] @ q + U[a] @ known + b[a]) for a in range(len(v)))  # type: ignore[return-value]


CASES: dict[str, tuple[Callable[[], ContentAttention], Score]] = {
    "dot": (lambda: DotAttention(KEY_SIZE), dot),
    "bilinear": (lambda: BilinearAttention(QUERY_SIZE, KEY_SIZE), bilinear),
    "concat": (lambda: ConcatAttention(QUERY_SIZE, KEY_SIZE, WIDTH), concat),
    "concat in chunks": (lambda: ConcatAttention(QUERY_SIZE, KEY_SIZE, WIDTH, chunk=1), concat),
    "scaled dot": (lambda: ScaledDotAttention(QUERY_SIZE, KEY_SIZE, WIDTH), scaled_dot),
    "cosine": (lambda: CosineAttention(QUERY_SIZE, KEY_SIZE), cosine),
    "positional keys": (lambda: PositionalKeysAttention(QUERY_SIZE, KEY_SIZE, WIDTH, longest=KEYS), positional),
}


def slow(attention: ContentAttention, score: Score, query: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Contexts and weights, one query and one key at a time; the mask is (b, k)."""
    contexts, weights = [], []
    for b in range(len(query)):
        for q in query[b]:
            scores = [score(attention, q, key, place) for place, key in enumerate(keys[b])]
            total = sum(torch.exp(e) for e, may in zip(scores, mask[b].tolist(), strict=True) if may)
            row = [torch.exp(e) / total if may else 0 * e for e, may in zip(scores, mask[b].tolist(), strict=True)]
            contexts.append(sum(w * key for w, key in zip(row, keys[b], strict=True)))
            weights.append(torch.stack(row))
    shape = query.shape[:2]
    return torch.stack(contexts).view(*shape, -1), torch.stack(weights).view(*shape, -1)


@pytest.mark.parametrize("name", CASES)
def test_it_equals_its_formula_pair_by_pair(name: str) -> None:
    make, score = CASES[name]
    attention = randomised(make())
    query, keys = leaf(BATCH, QUERIES, attention.query_size), leaf(BATCH, KEYS, attention.key_size)
    mask = torch.arange(KEYS) < torch.tensor([KEYS, 2])[:, None]

    def read() -> tuple[Tensor, Tensor]:
        reading = attention.read(query, attention.prepare(keys, mask))
        return reading.context, reading.weights

    wrt = [query, keys, *attention.parameters()]
    assert_twins(read, lambda: slow(attention, score, query, keys, mask), wrt)
    assert_twins(lambda: attention(query, keys, mask), lambda: slow(attention, score, query, keys, mask)[0], wrt)


def test_concat_is_additive_attention_without_a_bias() -> None:
    concat, additive = (randomised(kind(QUERY_SIZE, KEY_SIZE, WIDTH)) for kind in (ConcatAttention, AdditiveAttention))
    assert isinstance(concat, ConcatAttention)
    assert isinstance(additive, AdditiveAttention)
    with torch.no_grad():
        additive.query.weight.copy_(concat.hidden.weight[:, :QUERY_SIZE])
        additive.key.weight.copy_(concat.hidden.weight[:, QUERY_SIZE:])
        additive.key.bias.zero_()
        additive.v.copy_(concat.v)
    query, keys = leaf(BATCH, QUERIES, QUERY_SIZE), leaf(BATCH, KEYS, KEY_SIZE)
    torch.testing.assert_close(concat(query, keys), additive(query, keys))


def test_bilinear_attention_with_the_identity_is_the_dot_product() -> None:
    query, keys = leaf(BATCH, QUERIES, KEY_SIZE), leaf(BATCH, KEYS, KEY_SIZE)
    bilinear, scaled = BilinearAttention(KEY_SIZE, KEY_SIZE), ScaledDotAttention(KEY_SIZE, KEY_SIZE, KEY_SIZE)
    for projection in (bilinear.key, scaled.query, scaled.key):
        torch.nn.init.eye_(projection.weight)
    expected = DotAttention(KEY_SIZE)(query, keys)
    torch.testing.assert_close(bilinear.double()(query, keys), expected)
    torch.testing.assert_close(scaled.double()(query * KEY_SIZE**0.5, keys), expected)


def test_a_strong_cosine_selects_the_nearest_key_and_strength_0_the_mean() -> None:
    attention = randomised(CosineAttention(QUERY_SIZE, KEY_SIZE))
    query, keys = leaf(BATCH, QUERIES, QUERY_SIZE), leaf(BATCH, KEYS, KEY_SIZE)
    nearest = torch.cosine_similarity(attention.query(query)[:, :, None], keys[:, None], -1).argmax(-1)
    torch.nn.init.zeros_(attention.strength.weight)
    for strength in (1e4, 1e6):
        torch.nn.init.constant_(attention.strength.bias, strength)
        weights = attention.read(query, attention.prepare(keys)).weights
        torch.testing.assert_close(weights.gather(2, nearest[..., None]), torch.ones_like(weights[..., :1]))
    torch.nn.init.constant_(attention.strength.bias, -1e3)
    torch.testing.assert_close(attention(query, keys), keys.mean(1, keepdim=True).expand(-1, QUERIES, -1))


def test_a_cosine_does_not_depend_on_the_length_of_query_and_keys() -> None:
    attention = randomised(CosineAttention(QUERY_SIZE, KEY_SIZE))
    query, keys = leaf(BATCH, QUERY_SIZE), leaf(BATCH, KEYS, KEY_SIZE)
    torch.nn.init.zeros_(attention.strength.weight)
    torch.nn.init.zeros_(attention.query.bias)
    near = attention.read(query, attention.prepare(keys)).weights
    far = attention.read(query * 1e3, attention.prepare(keys * 1e-3)).weights
    torch.testing.assert_close(near, far)


def test_the_cosine_of_a_zero_key_is_not_nan() -> None:
    attention = randomised(CosineAttention(QUERY_SIZE, KEY_SIZE))
    keys = torch.zeros(BATCH, KEYS, KEY_SIZE, dtype=torch.float64, requires_grad=True)
    query = leaf(BATCH, QUERIES, QUERY_SIZE)
    slopes = torch.autograd.grad(attention(query, keys).square().sum() + attention(query, keys).sum(), [query, keys])
    assert all(slope.isfinite().all() for slope in slopes)


def test_keys_with_positions_of_zeros_are_plain_keys() -> None:
    attention = randomised(PositionalKeysAttention(QUERY_SIZE, KEY_SIZE, WIDTH))
    plain = AdditiveAttention(QUERY_SIZE, KEY_SIZE, WIDTH).double()
    plain.load_state_dict({name: tensor for name, tensor in attention.state_dict().items() if name != "positions"})
    query, keys = leaf(BATCH, QUERIES, QUERY_SIZE), leaf(BATCH, KEYS, KEY_SIZE)
    assert not torch.allclose(attention(query, keys), plain(query, keys))
    torch.nn.init.zeros_(attention.positions)
    assert torch.equal(attention(query, keys), plain(query, keys))


def test_learned_positions_do_not_count_masked_keys() -> None:
    attention = randomised(PositionalKeysAttention(QUERY_SIZE, KEY_SIZE, WIDTH, longest=KEYS))
    query, keys, kept = leaf(BATCH, QUERIES, QUERY_SIZE), leaf(BATCH, KEYS, KEY_SIZE), torch.tensor([1, 3, 4])
    mask = torch.zeros(BATCH, KEYS, dtype=torch.bool)
    mask[:, kept] = True
    wrt = [query, keys, *attention.parameters()]
    assert_twins(lambda: attention(query, keys, mask), lambda: attention(query, keys[:, kept]), wrt)


def test_more_keys_than_learned_positions_raise() -> None:
    attention = PositionalKeysAttention(QUERY_SIZE, KEY_SIZE, WIDTH, longest=KEYS - 1)
    with pytest.raises(InvalidInput, match=f"{KEYS} keys, but only {KEYS - 1} learned positions"):
        attention.prepare(torch.randn(BATCH, KEYS, KEY_SIZE))


@pytest.mark.unhooked
def test_sizes_that_do_not_fit_raise() -> None:
    attention = BilinearAttention(QUERY_SIZE, KEY_SIZE)
    with pytest.raises(InvalidInput, match=f"keys must have {KEY_SIZE} features, not {QUERY_SIZE}"):
        attention.prepare(torch.randn(BATCH, KEYS, QUERY_SIZE))
    with pytest.raises(InvalidInput, match=f"queries must have {QUERY_SIZE} features, not {KEY_SIZE}"):
        attention(torch.randn(BATCH, QUERIES, KEY_SIZE), torch.randn(BATCH, KEYS, KEY_SIZE))
    with pytest.raises(InvalidInput, match=r"queries must be \(batch, 7\) or \(batch, queries, 7\), not \(7,\)"):
        attention.read(torch.randn(QUERY_SIZE), attention.prepare(torch.randn(BATCH, KEYS, KEY_SIZE)))
