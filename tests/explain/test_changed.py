"""Weights changed between the softmax and their use are reported, or shown as used."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.explain import capture

BATCH, HEADS, LENGTH, SIZE = 2, 3, 5, 8
HIDDEN = torch.ones(LENGTH, LENGTH).triu(1).bool()
MODES = [torch.enable_grad, torch.no_grad, torch.inference_mode]
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)


class Attention(nn.Module):
    def __init__(self, change: Callable[[Tensor], Tensor], hide: bool = False) -> None:
        super().__init__()
        self.change, self.hide = change, hide

    def forward(self, x: Tensor) -> Tensor:
        scores = x @ x.mT
        if self.hide:
            scores = scores.masked_fill(HIDDEN, -torch.inf)
        self.used = self.change(scores.softmax(-1))
        return self.used @ x


def topped(weights: Tensor) -> Tensor:
    found, places = weights.topk(2)
    return torch.zeros_like(weights).scatter(-1, places, found)


def written(change: Callable[[Tensor], object]) -> Callable[[Tensor], Tensor]:
    """An in-place change of the weights."""

    def changed(weights: Tensor) -> Tensor:
        weights = weights.clone() if weights.requires_grad else weights
        change(weights)
        return weights

    return changed


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "masked_fill": lambda w: w.masked_fill(HIDDEN, 0.0),
    "where": lambda w: torch.where(HIDDEN, 0.0, w),
    "tril": lambda w: w.tril(),
    "triu": lambda w: w.triu(),
    "roll": lambda w: w.roll(1, -1),
    "flip": lambda w: w.flip(-1),
    "rot90": lambda w: w.rot90(2, (-2, -1)),
    "gather": lambda w: w.gather(-1, w.argsort(-1)),
    "take_along_dim": lambda w: w.take_along_dim(w.argsort(-1), -1),
    "sort": lambda w: w.sort(-1).values,
    "topk and scatter": topped,
    "index": lambda w: w[..., torch.tensor([4, 3, 2, 1, 0])],
    "index_select": lambda w: w.index_select(-1, torch.tensor([4, 3, 2, 1, 0])),
    "index_fill": lambda w: w.index_fill(-1, torch.tensor([2]), 0.0),
    "index_add": lambda w: w.index_add(-1, torch.tensor([2]), torch.ones(*w.shape[:-1], 1)),
    "scatter": lambda w: w.scatter(-1, torch.zeros(BATCH, HEADS, LENGTH, 1, dtype=torch.long), 0.0),
    "masked_scatter": lambda w: w.masked_scatter(HIDDEN, torch.zeros(w.numel())),
    "slice_scatter": lambda w: w.slice_scatter(torch.zeros(BATCH, HEADS, LENGTH, 2), -1, 0, 2),
    "pad": lambda w: F.pad(w[..., :-1], (1, 0)),
    "cat": lambda w: torch.cat([w[..., 1:], w[..., :1]], -1),
    "cumsum": lambda w: w.cumsum(-1),
    "mean of heads": lambda w: w.mean(1, keepdim=True).expand_as(w),
    "heads in another order": lambda w: w[:, [2, 0, 1]],
    "a convolution over heads": lambda w: F.conv2d(w, torch.rand(HEADS, HEADS, 1, 1)),
    "a norm": lambda w: F.layer_norm(w, (LENGTH,)),
    "power": lambda w: w**2,
    "smoothing": lambda w: F.avg_pool1d(w.flatten(0, 1), 3, 1, 1).view_as(w),
    "fill a part": written(lambda w: w[..., 0].fill_(0.0)),
    "put": written(lambda w: w.__setitem__((..., 2), 0.0)),
    "mask in place": written(lambda w: w.masked_fill_(HIDDEN, 0.0)),
    "drop in place": written(lambda w: w.mul_(torch.rand(LENGTH) > 0.5)),
}


@modes
@pytest.mark.parametrize("how", CHANGES)
def test_changed_weights_are_reported(how: str, mode: Any) -> None:
    model, x = Attention(CHANGES[how]), 0.3 * torch.randn(BATCH, HEADS, LENGTH, SIZE)
    torch.manual_seed(1)
    with mode():
        plain = model(x)
        torch.manual_seed(1)
        with capture(model) as seen:
            found = model(x)
    assert how == "drop in place" or torch.equal(found, plain)
    used = seen and seen[""][0].shape == model.used.shape and torch.allclose(seen[""][0], model.used)
    assert used or "changed after the softmax" in seen.unknown[""]


@modes
@pytest.mark.parametrize("how", ["masked_fill", "where", "tril", "mask in place"])
def test_applying_the_same_mask_again_is_not_a_change(how: str, mode: Any) -> None:
    model, x = Attention(CHANGES[how], hide=True), torch.randn(BATCH, HEADS, LENGTH, SIZE)
    with mode(), capture(model) as seen:
        model(x)
    assert not seen.unknown
    torch.testing.assert_close(seen[""][0], model.used)


@modes
def test_rows_with_nothing_to_attend_are_shown_as_used(mode: Any) -> None:
    class Empty(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            scores = (x @ x.mT).masked_fill(torch.arange(LENGTH)[:, None] == 2, -torch.inf)
            self.used = scores.softmax(-1).nan_to_num(0.0)
            return self.used @ x

    with mode(), capture(model := Empty()) as seen:
        model(torch.randn(BATCH, HEADS, LENGTH, SIZE))
    assert not seen.unknown
    torch.testing.assert_close(seen[""][0], model.used)


@modes
def test_dropout_is_not_a_change(mode: Any) -> None:
    model, x = Attention(lambda w: F.dropout(w, 0.5, True)), torch.randn(BATCH, HEADS, LENGTH, SIZE)
    with mode(), capture(model) as seen:
        model(x)
    assert not seen.unknown
    torch.testing.assert_close(seen[""][0], (x @ x.mT).softmax(-1))


@modes
def test_attention_summed_without_a_matrix_product_is_reported(mode: Any) -> None:
    class AdditiveAttention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            weights = (x @ torch.ones(SIZE, 1)).softmax(1)
            weights = weights / weights.sum(1, keepdim=True)
            return (weights * x).sum(1)

    class Deformable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.softmax = nn.Linear(SIZE, 3), nn.Softmax(-1)

        def forward(self, x: Tensor) -> Tensor:
            points = torch.stack([x, x.roll(1, 1), x.roll(-1, 1)], -1)
            return (self.softmax(self.attention(x))[..., None, :] * points).sum(-1)

    model = nn.ModuleDict({"one": AdditiveAttention(), "cross_attn": Deformable(), "router": Deformable()})
    x = torch.randn(BATCH, LENGTH, SIZE)
    with mode(), capture(model) as seen:
        for part in model.values():
            part(x)
    assert not seen
    assert list(seen.unknown) == ["one", "cross_attn.softmax"]
    assert all("enter a sum" in why for why in seen.unknown.values())


def test_the_largest_experts_of_a_router_are_not_attention() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.router, self.experts = nn.Linear(SIZE, 4), nn.Parameter(torch.randn(4, SIZE, SIZE))

        def forward(self, x: Tensor) -> Tensor:
            weights, places = self.router(x).softmax(-1).topk(2)
            weights = weights / weights.sum(-1, keepdim=True)
            made = torch.einsum("td,edf->tef", x, self.experts)
            chosen = made.gather(1, places[..., None].expand(*places.shape, SIZE))
            return (chosen * weights[..., None]).sum(1)

    model = nn.ModuleDict({"experts": Experts(), "attention": Attention(lambda w: w)})
    x = torch.randn(LENGTH, SIZE)
    for mode in MODES:
        with mode(), capture(model) as seen:
            model["attention"](model["experts"](x))
        assert list(seen) == ["attention"]
        assert not seen.unknown
