"""Captures of unusual explicit attention and of parts of a model, and unusual requests."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.products import Linear
from saccade.explain import capture
from saccade.explain.held import Held

BATCH, LENGTH, MODEL, HEADS = 2, 7, 16, 2
MODES = [torch.enable_grad, torch.no_grad, torch.inference_mode]
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)


class Written(nn.Module):
    """Explicit attention with `HEADS` heads; `weigh` computes the weights (b, h, q, k)."""

    def __init__(self, weigh: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.weigh = weigh

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
        return self.weigh(x) @ x


def plain(x: Tensor) -> Tensor:
    return (x @ x.mT).softmax(-1)


def with_sink(x: Tensor) -> Tensor:
    scores = torch.cat([x @ x.mT, torch.ones(*x.shape[:3], 1)], -1)
    return scores.softmax(-1)[..., :-1]


def masked_afterwards(x: Tensor) -> Tensor:
    weights = plain(x) * (torch.arange(x.shape[2]) < 3)
    return weights / weights.sum(-1, keepdim=True)


def mixed(x: Tensor) -> Tensor:
    return torch.einsum("bhqk,hg->bgqk", plain(x), torch.tensor([[0.3, 0.7], [0.7, 0.3]]))


def mixed_by_a_layer(x: Tensor) -> Tensor:
    return F.linear(plain(x).movedim(1, -1), torch.tensor([[0.3, 0.7], [0.7, 0.3]]), torch.zeros(2)).movedim(-1, 1)


def difference(x: Tensor) -> Tensor:
    one, two = x.chunk(2, -1)
    return plain(one) - 0.5 * plain(two)


@modes
@pytest.mark.parametrize("weigh", [masked_afterwards, mixed, mixed_by_a_layer, difference])
def test_weights_that_differ_from_the_softmax_are_reported(weigh: Callable[[Tensor], Tensor], mode: Any) -> None:
    model, x = Written(weigh), torch.randn(BATCH, LENGTH, MODEL)
    with mode(), capture(model) as seen:
        model(x)
    assert "changed after the softmax" in seen.unknown[""]


@modes
@pytest.mark.parametrize("weigh", [plain, with_sink])
def test_the_weights_that_the_model_uses_are_captured(weigh: Callable[[Tensor], Tensor], mode: Any) -> None:
    model, x = Written(weigh), torch.randn(BATCH, LENGTH, MODEL)
    expected = weigh(x.unflatten(-1, (HEADS, -1)).transpose(1, 2))
    with mode(), capture(model) as seen:
        model(x)
    assert not seen.unknown
    torch.testing.assert_close(seen[""][0], expected)
    torch.testing.assert_close(seen.maps("")[0].weights(heads=[1], keys=[0, 2]), expected[:, [1]][..., [0, 2]])


@modes
def test_axes_in_another_order_are_reported(mode: Any) -> None:
    class Other(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x.unflatten(-1, (HEADS, -1))
            weights = torch.einsum("bqhd,bkhd->bqhk", x, x).softmax(-1)
            return torch.einsum("bqhk,bkhd->bqhd", weights, x)

    with mode(), capture(model := Other()) as seen:
        model(torch.randn(BATCH, LENGTH, MODEL))
    assert not seen
    assert "not in the order" in seen.unknown[""]


@modes
def test_a_softmax_over_another_axis_is_reported(mode: Any) -> None:
    class Slots(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x @ x.mT).softmax(1).mT @ x

    with mode(), capture(model := nn.Sequential(Slots(), Written(plain))) as seen:
        model(torch.randn(BATCH, LENGTH, MODEL))
    assert list(seen) == ["1"]
    assert list(seen.unknown) == ["0"]
    assert "not over the last axis" in seen.unknown["0"]


@modes
def test_pieces_of_unreadable_attention_are_not_captured(mode: Any) -> None:
    class Blocks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            blocks = x.unflatten(1, (-1, 4)).unflatten(-1, (HEADS, -1)).transpose(2, 3)  # (b, n, h, t, d)
            first = blocks[:, 0]  # attends to all keys in another way, as in BigBird
            return torch.cat(
                [plain(first)[:, :, None] @ first[:, :, None], (plain(blocks) @ blocks).transpose(1, 2)], 2
            )

    model = nn.Sequential(Blocks(), nn.Identity())
    with mode(), capture(model) as seen:
        model(torch.randn(BATCH, 8, MODEL))
    assert not seen
    assert list(seen.unknown) == ["0"]


def test_heads_are_separated_from_the_batch_only_if_they_were_merged_into_it() -> None:
    class OneByOne(nn.Module):
        num_heads = HEADS

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([(part @ part.mT).softmax(-1) @ part for part in x.chunk(HEADS, -1)], -1)

    class HeadsFirst(nn.Module):
        num_heads = HEADS

        def forward(self, x: Tensor) -> Tensor:
            parts = torch.cat(x.chunk(HEADS, -1))
            return (parts @ parts.mT).softmax(-1) @ parts

    class HeadsOutside(nn.Module):
        num_heads = HEADS

        def forward(self, x: Tensor) -> Tensor:
            parts = x.unflatten(-1, (HEADS, -1)).permute(2, 0, 1, 3).flatten(0, 1)
            return plain(parts) @ parts

    x = torch.randn(BATCH * 2, LENGTH, MODEL)
    for model in (OneByOne(), HeadsFirst(), HeadsOutside()):
        with torch.no_grad(), capture(model) as seen:
            model(x)
        assert seen.axes("") == ("n", "q", "k")


@pytest.mark.parametrize("fast", [True, False])
def test_a_capture_of_a_part_contains_only_that_part(fast: bool) -> None:
    layer = nn.TransformerEncoderLayer(MODEL, HEADS, 32, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 3).eval(), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad() if fast else nullcontext(), capture(model) as whole:
        model(x)
    with torch.no_grad() if fast else nullcontext(), capture(model.layers[1]) as seen:
        model(x)
        (x @ x.mT).softmax(-1) @ x
    assert list(seen) == ["self_attn"]
    [weights] = seen["self_attn"]
    assert torch.equal(weights, whole["layers.1.self_attn"][0])
    with pytest.raises(NotFound), torch.no_grad(), capture(Written(plain)):
        model(x)


class Fused(nn.Module):
    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, keys, keys)


def test_one_query_for_all() -> None:
    query, keys = torch.randn(1, 1, 3, 8), torch.randn(BATCH, HEADS, LENGTH, 8)
    expected = (query @ keys.mT * 8**-0.5).softmax(-1)
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode(), capture(model := Fused()) as seen:
            model(query, keys)
        torch.testing.assert_close(seen[""][0], expected)


@pytest.mark.parametrize("wrong", [[9], [-1], [], [True, False], slice(None, None, -1)])
def test_positions_out_of_range_are_reported(wrong: Any) -> None:
    model, x = Written(plain), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad(), capture(model) as seen:
        model(x)
    [found] = seen.maps("")
    if isinstance(wrong, slice):
        assert torch.equal(found.weights(heads=wrong), seen[""][0].flip(1))
    else:
        for where in ("heads", "queries", "keys"):
            with pytest.raises(InvalidInput, match="expected positions from 0 to"):
                found.weights(**{where: wrong})
    assert found.weights(heads=slice(9, 12)).shape == (BATCH, 0, LENGTH, LENGTH)


@pytest.mark.usefixtures("by_onednn")
def test_scores_computed_by_onednn_are_captured() -> None:
    class Pool(nn.Module):
        """Learned queries; 33 rows, which are padded."""

        def __init__(self) -> None:
            super().__init__()
            self.score = Linear(8, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.score(inputs).mT.softmax(-1) @ inputs  # type: ignore[no-any-return]

    model, inputs = Pool(), torch.randn(3, 11, 8)
    with torch.no_grad(), capture(model) as seen:
        model(inputs)
    torch.testing.assert_close(seen[""][0], model.score(inputs).mT.softmax(-1))


@pytest.mark.usefixtures("by_onednn")
def test_queries_and_keys_computed_by_onednn_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key = Linear(8, 8), Linear(8, 8)

        def forward(self, inputs: Tensor) -> Tensor:
            query, key = (layer(inputs)[:, None] for layer in (self.query, self.key))
            return F.scaled_dot_product_attention(query, key, inputs[:, None])

    copied: list[Held] = []
    monkeypatch.setattr(Held, "copy", lambda held, *_: copied.append(held))
    with torch.no_grad(), capture(model := Looks()) as seen:
        model(torch.randn(3, 11, 8))
    assert len(seen) == 1
    assert not copied
