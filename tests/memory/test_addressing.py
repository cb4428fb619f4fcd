import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.memory.addressing import (
    Address,
    address,
    circular_convolution,
    content_weights,
    interpolate,
    sharpen,
)
from tests.checks import assert_twins, leaf

BATCH, HEADS, SLOTS, SIZE, SHIFTS = 2, 3, 7, 5, 3


def emitted(*, slots: int = SLOTS, shifts: int = SHIFTS) -> tuple[Tensor, Tensor, list[Tensor]]:
    """A memory, previous weights, and what `slow_address` and `address` take, as leaves before their activations."""
    raw = [
        leaf(BATCH, HEADS, SIZE),
        leaf(BATCH, HEADS),
        leaf(BATCH, HEADS),
        leaf(BATCH, HEADS, shifts),
        leaf(BATCH, HEADS),
    ]
    return leaf(BATCH, slots, SIZE), leaf(BATCH, HEADS, slots), raw


def activated(raw: list[Tensor]) -> Address:
    key, strength, gate, shift, sharpness = raw
    return Address(key, strength.exp(), gate.sigmoid(), shift.softmax(-1), 1 + sharpness.exp())


def slow_address(
    memory: Tensor, previous: Tensor, k: Tensor, beta: Tensor, g: Tensor, s: Tensor, gamma: Tensor
) -> Tensor:
    """Equations 5 to 9 for one head, slot by slot: memory (n, m), previous (n,), s over the shifts -r ... r."""
    slots, reach = range(len(memory)), len(s) // 2
    cosine = [(k @ M) / (k @ k).sqrt() / (M @ M).sqrt() for M in memory]
    total = sum(torch.exp(beta * near) for near in cosine)
    gated = [g * torch.exp(beta * cosine[i]) / total + (1 - g) * previous[i] for i in slots]
    moved = []
    for i in slots:
        terms = []
        for j in slots:
            for shift in range(-reach, reach + 1):
                terms += [gated[j] * s[shift + reach]] if (i - j - shift) % len(slots) == 0 else []
        moved.append(sum(terms))
    powers = [one**gamma for one in moved]
    return torch.stack([one / sum(powers) for one in powers])


@pytest.mark.parametrize(("slots", "shifts"), [(7, 1), (7, 3), (7, 5), (7, 7), (1, 1), (3, 3)])
def test_all_stages_equal_their_slow_twin(slots: int, shifts: int) -> None:
    memory, previous, raw = emitted(slots=slots, shifts=shifts)

    def slow() -> Tensor:
        weights, each = previous.softmax(-1), activated(raw)
        rows = [
            slow_address(memory[b], weights[b, h], *(part[b, h] for part in each))
            for b in range(BATCH)
            for h in range(HEADS)
        ]
        return torch.stack(rows).unflatten(0, (BATCH, HEADS))

    assert_twins(lambda: address(memory, previous.softmax(-1), activated(raw)), slow, [memory, previous, *raw])


def test_it_passes_gradcheck() -> None:
    memory, previous, raw = emitted()
    assert torch.autograd.gradcheck(
        lambda memory, previous, *raw: address(memory, previous.softmax(-1), activated(list(raw))),
        (memory, previous, *raw),
    )


@pytest.mark.parametrize("shift", [-3, -2, -1, 0, 1, 2, 3])
def test_all_weight_on_one_shift_moves_the_weights_that_far_round(shift: int) -> None:
    weights = torch.randn(BATCH, HEADS, SLOTS, dtype=torch.float64).softmax(-1)
    chosen = torch.zeros(BATCH, HEADS, 7, dtype=torch.float64)
    chosen[..., shift + 3] = 1
    assert torch.equal(circular_convolution(weights, chosen), weights.roll(shift, -1))


def test_the_convolution_is_a_product_of_spectra() -> None:
    weights = torch.randn(BATCH, HEADS, 11, dtype=torch.float64).softmax(-1)
    shift = torch.randn(BATCH, HEADS, 5, dtype=torch.float64).softmax(-1)
    whole = torch.cat([shift[..., 2:], shift.new_zeros(BATCH, HEADS, 6), shift[..., :2]], -1)
    expected = torch.fft.irfft(torch.fft.rfft(weights) * torch.fft.rfft(whole), 11)
    torch.testing.assert_close(circular_convolution(weights, shift), expected, rtol=1e-12, atol=1e-12)


def test_a_gate_of_one_is_content_and_a_gate_of_zero_the_past() -> None:
    content, previous = (torch.randn(BATCH, HEADS, SLOTS, dtype=torch.float64).softmax(-1) for _ in range(2))
    gate = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).expand(BATCH, HEADS)
    expected = torch.stack([previous[:, 0], content[:, 1], previous[:, 2]], 1)
    assert torch.equal(interpolate(content, previous, gate), expected)


def test_sharpness_one_changes_nothing_and_a_huge_one_selects() -> None:
    weights = torch.tensor([0.2, 0.3, 0.0, 0.5], dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(sharpen(weights, torch.ones((), dtype=torch.float64)), weights, rtol=1e-15, atol=1e-15)
    selected = sharpen(weights, torch.tensor(1e300, dtype=torch.float64))
    assert selected.tolist() == [0, 0, 0, 1]
    (slope,) = torch.autograd.grad(selected[3] + selected[2], weights)
    assert slope.isfinite().all()


def test_a_key_of_zeros_looks_everywhere_alike() -> None:
    memory, key = torch.randn(BATCH, SLOTS, SIZE), torch.zeros(BATCH, HEADS, SIZE, requires_grad=True)
    weights = content_weights(memory, key, torch.full((BATCH, HEADS), 1e4))
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / SLOTS))
    weights[..., 0].sum().backward()
    assert key.grad is not None
    assert key.grad.isfinite().all()


@pytest.mark.parametrize(("length", "cosine"), [(1.0, 1.0), (1e-2, 1.0), (1e-3, 0.1), (1e-6, 1e-4)])
def test_the_cosine_of_a_nearly_empty_slot_goes_to_zero_with_its_length(length: float, cosine: float) -> None:
    slot = torch.tensor([length, 0.0], dtype=torch.float64, requires_grad=True)
    key = torch.tensor([[[3.0, 3.0]]], dtype=torch.float64)
    memory = torch.stack([slot, torch.zeros(2, dtype=torch.float64)])[None]
    weight = content_weights(memory, key, torch.full((1, 1), 2**0.5, dtype=torch.float64))[0, 0, 0]
    assert weight.item() == pytest.approx(1 / (1 + math.exp(-cosine)))
    weight.backward()
    assert slot.grad is not None
    assert slot.grad.norm() <= 0.25 * 2**0.5 / 1e-2


@given(
    slots=st.integers(1, 9), reach=st.integers(0, 4), scale=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    bits=st.sampled_from([32, 64]), seed=st.integers(0, 99),
)  # fmt: skip
def test_each_stage_maps_a_distribution_to_a_distribution(
    slots: int, reach: int, scale: float, bits: int, seed: int
) -> None:
    torch.manual_seed(seed)
    dtype = torch.float32 if bits == 32 else torch.float64
    shifts = 2 * min(reach, (slots - 1) // 2) + 1
    memory, previous, raw = (
        torch.randn(*shape, dtype=dtype) for shape in ((2, slots, 3), (2, 2, slots), (2, 2, shifts))
    )
    previous, shift = (scale * previous).softmax(-1), (scale * raw).softmax(-1)
    strength, gate, sharpness = (torch.rand(3, 2, 2, dtype=dtype)).unbind(0)
    content = content_weights(scale * memory, torch.randn(2, 2, 3, dtype=dtype), scale * strength)
    gated = interpolate(content, previous, gate)
    moved = circular_convolution(gated, shift)
    for weights in (content, gated, moved, sharpen(moved, 1 + scale * sharpness)):
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, dtype=dtype))


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("shifts", "message"),
    [(2, "must be an odd number"), (0, "must be an odd number"), (9, "9 shifts are wider than .* 7")],
)
def test_a_range_of_shifts_that_cannot_be_raises(shifts: int, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        circular_convolution(torch.rand(BATCH, HEADS, SLOTS), torch.rand(BATCH, HEADS, shifts))
