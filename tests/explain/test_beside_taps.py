"""A model with taps and other attention."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.attention import AdditiveAttention, MultiHeadAttention
from saccade.core.errors import NotFound
from saccade.core.tap import Tap
from saccade.explain import ablate, capture

BATCH, LENGTH, MODEL, HEADS = 2, 5, 16, 2


class Mixed(nn.Module):
    """An encoder of torch, explicit attention, and mechanisms with taps."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(MODEL, HEADS, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.own, self.ours = Own(), MultiHeadAttention(MODEL, HEADS)
        self.look = AdditiveAttention(MODEL, MODEL, 8)

    def forward(self, x: Tensor) -> Tensor:
        memory = self.own(self.encoder(x))
        return self.look(self.ours(memory[:, :3], memory), memory)  # type: ignore[no-any-return]


class Own(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x @ x.mT / 4).softmax(-1) @ x


NAMES = ["encoder.layers.0.self_attn", "encoder.layers.1.self_attn", "own", "ours.weights", "look.weights"]


def test_both_are_captured_once() -> None:
    model, x = Mixed().eval(), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad():
        plain = model(x)
        with capture(model) as seen:
            assert torch.equal(model(x), plain)
        alone = {}
        for part in ("encoder", "own", "ours", "look"):
            with capture(model, only=f"{part}*") as heard:
                model(x)
            alone |= dict(heard)
    assert sorted(seen) == sorted(alone) == sorted(NAMES)
    assert not seen.unknown
    for name in NAMES:
        [ours], [theirs] = seen[name], alone[name]
        assert torch.equal(ours, theirs)
    memory = model.encoder(x)
    torch.testing.assert_close(seen["own"][0], (memory @ memory.mT / 4).softmax(-1))


def test_a_tap_of_another_tensor_does_not_hide_other_modules() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.states = Own(), Tap("b t d")

        def forward(self, x: Tensor) -> Tensor:
            return self.states(self.first(x))  # type: ignore[no-any-return]

    with torch.no_grad(), capture(model := Model()) as seen:
        model(torch.randn(BATCH, LENGTH, MODEL))
    assert sorted(seen) == ["first", "states"]


class Residual(nn.Module):
    """Calls a mechanism like a layer of this library: through a method other than forward, within its own module."""

    def forward(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        return x + function(x)


class Block(nn.Module):
    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention, self.residual = attention, Residual()

    def forward(self, x: Tensor) -> Tensor:
        attention: Any = self.attention
        prepared = attention.prepare(x)
        if isinstance(attention, MultiHeadAttention):
            return self.residual(x, lambda x: attention.attend(x, prepared))  # type: ignore[no-any-return]
        return self.residual(x, lambda x: attention.read(x, prepared).context)  # type: ignore[no-any-return]


@pytest.mark.parametrize("attention", [MultiHeadAttention(MODEL, HEADS), AdditiveAttention(MODEL, MODEL, 8)])
def test_a_mechanism_called_from_another_module_is_captured_once(attention: nn.Module) -> None:
    model, x = Block(attention), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad():
        with capture(model) as seen:
            model(x)
        assert list(seen) == ["attention.weights"]
        for only in ("residual", "*i*"):
            with nullcontext() if only == "*i*" else pytest.raises(NotFound), capture(model, only) as seen:
                model(x)
            assert not seen or list(seen) == ["attention.weights"]
    assert all(module.reached is None for module in model.modules() if isinstance(module, Tap))


def test_both_are_replaced() -> None:
    model, x = Mixed().eval(), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad():
        plain = model(x)
        for name in ("own", "ours.weights"):
            replace = ablate(0) if name == "ours.weights" else lambda _, weights: weights.flip(-1)
            with capture(model, only=name, replace=replace) as seen:
                assert not torch.allclose(model(x), plain)
            assert list(seen) == [name]
        assert torch.equal(model(x), plain)


def test_an_unknown_name_is_reported_with_the_known_ones() -> None:
    model, x = Mixed().eval(), torch.randn(BATCH, LENGTH, MODEL)
    with pytest.raises(NotFound, match=r"no tap matches 'decoder'; there are: ours\.weights, look\.weights"):  # noqa: SIM117
        with capture(model, "decoder"):
            raise AssertionError("the block is not entered")
    with (
        pytest.raises(NotFound, match=r"match '\*linear1'; some was found in: .*'look.weights', .*'own'"),
        torch.no_grad(),
        capture(model, "*linear1"),
    ):
        model(x)
