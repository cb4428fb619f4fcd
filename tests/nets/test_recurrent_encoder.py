from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask
from saccade.memory import GRU
from saccade.nets.recurrent_encoder import RecurrentEncoder
from tests.checks import assert_twins, leaf, randomised, unchanged
from tests.memory.test_gru import slow_step

Directions = Literal["both", "forward", "backward"]
ALL: list[Directions] = ["both", "forward", "backward"]
every_direction = pytest.mark.parametrize("directions", ALL)

INPUT, HIDDEN, LONGEST = 3, 5, 7
LENGTHS = [7, 2, 1, 5]


def make_encoder(directions: Directions = "both") -> RecurrentEncoder:
    return randomised(RecurrentEncoder(INPUT, HIDDEN, directions))


def make_batch() -> tuple[Tensor, Tensor]:
    return leaf(len(LENGTHS), LONGEST, INPUT), length_mask(torch.tensor(LENGTHS), LONGEST)


def slow_direction(gru: GRU, sentence: Tensor, backward: bool) -> tuple[list[Tensor], Tensor]:
    """The state after each word of one sentence of true length, in the order of the words, and the last state."""
    h = torch.zeros(HIDDEN, dtype=torch.float64)
    states = {}
    places = range(len(sentence))
    for j in reversed(places) if backward else places:
        h = slow_step(gru, sentence[j], h)
        states[j] = h
    return [states[j] for j in places], h


def slow_encoder(encoder: RecurrentEncoder, inputs: Tensor, directions: Directions) -> tuple[Tensor, Tensor]:
    """Annotations h_j = [forward h_j; backward h_j], zero at padding, and the last state of each direction."""
    backwards = {"both": [False, True], "forward": [False], "backward": [True]}[directions]
    annotations, finals = [], []
    for row, length in zip(inputs, LENGTHS, strict=True):
        found = [slow_direction(gru, row[:length], way) for gru, way in zip(encoder.nets, backwards, strict=True)]
        words = [torch.cat([states[j] for states, _ in found]) for j in range(length)]
        padding = torch.zeros(len(found) * HIDDEN, dtype=torch.float64)
        annotations.append(torch.stack([*words, *[padding] * (LONGEST - length)]))
        finals.append(torch.stack([last for _, last in found]))
    return torch.stack(annotations), torch.stack(finals)


@every_direction
def test_it_equals_its_slow_twin_on_true_lengths(directions: Directions) -> None:
    encoder, (inputs, mask) = make_encoder(directions), make_batch()

    def fast() -> tuple[Tensor, Tensor]:
        encoded = encoder(inputs, mask)
        assert encoded.mask is mask
        return encoded.annotations, encoded.final

    assert_twins(fast, lambda: slow_encoder(encoder, inputs, directions), [inputs, *encoder.parameters()])


@every_direction
def test_a_padded_batch_equals_each_sentence_alone(directions: Directions) -> None:
    encoder, (inputs, mask) = make_encoder(directions), make_batch()

    def together() -> tuple[Tensor, ...]:
        encoded = encoder(inputs, mask)
        return (*(row[:length] for row, length in zip(encoded.annotations, LENGTHS, strict=True)), encoded.final)

    def alone() -> tuple[Tensor, ...]:
        each = [encoder(inputs[i : i + 1, :n], mask[i : i + 1, :n]) for i, n in enumerate(LENGTHS)]
        return (*(encoded.annotations[0] for encoded in each), torch.cat([encoded.final for encoded in each]))

    assert_twins(together, alone, [inputs, *encoder.parameters()], 1e-14)


@every_direction
def test_padding_has_no_influence_and_no_gradient_to_the_last_bit(directions: Directions) -> None:
    encoder, (inputs, mask) = make_encoder(directions), make_batch()
    padding = ~mask[:, :, None]
    here = encoder(inputs, mask)
    there = encoder(inputs.masked_fill(padding, 1e30), mask)
    assert torch.equal(here.annotations, there.annotations)
    assert torch.equal(here.final, there.final)
    assert not here.annotations.masked_select(padding).any()
    (slope,) = torch.autograd.grad(here.annotations.sum() + here.final.sum(), inputs)
    assert slope.isfinite().all()
    assert not slope.masked_select(padding).any()
    assert slope.masked_select(~padding).all()


def test_final_is_the_state_of_each_direction_after_its_last_word() -> None:
    encoder, (inputs, mask) = make_encoder(), make_batch()
    encoded = encoder(inputs, mask)
    for i, length in enumerate(LENGTHS):
        assert torch.equal(encoded.final[i, 0], encoded.annotations[i, length - 1, :HIDDEN])
        assert torch.equal(encoded.final[i, 1], encoded.annotations[i, 0, HIDDEN:])


def test_backward_is_forward_over_the_reversed_sentence() -> None:
    forward, backward = make_encoder("forward"), make_encoder("backward")
    backward.load_state_dict(forward.state_dict())
    inputs, mask = make_batch()
    reversed_inputs = inputs.detach().clone()
    for i, length in enumerate(LENGTHS):
        reversed_inputs[i, :length] = inputs.detach()[i, :length].flip(0)
    here, there = backward(inputs, mask), forward(reversed_inputs, mask)
    assert torch.equal(here.final, there.final)
    for i, length in enumerate(LENGTHS):
        assert torch.equal(here.annotations[i, :length], there.annotations[i, :length].flip(0))


@given(st.permutations(range(len(LENGTHS))))
def test_sentences_do_not_see_each_other(order: list[int]) -> None:
    encoder, (inputs, mask) = make_encoder(), make_batch()
    here, there = encoder(inputs, mask), encoder(inputs[order], mask[order])
    torch.testing.assert_close(there.annotations, here.annotations[order], rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(there.final, here.final[order], rtol=1e-14, atol=1e-14)


@every_direction
def test_an_empty_sentence_is_encoded_as_zeros(directions: Directions) -> None:
    encoder, (inputs, mask) = make_encoder(directions), make_batch()
    mask[1] = False
    encoded = encoder(inputs, mask)
    assert not encoded.annotations[1].any()
    assert not encoded.final[1].any()
    (slope,) = torch.autograd.grad(encoded.final.sum(), inputs)
    assert slope.isfinite().all()
    assert not slope[1].any()


@every_direction
def test_a_source_without_steps_has_no_annotations_and_final_states_of_zero(directions: Directions) -> None:
    encoder = make_encoder(directions)
    encoded = encoder(leaf(2, 0, INPUT), torch.ones(2, 0, dtype=torch.bool))
    ways = len(encoder.nets)
    assert encoded.annotations.shape == (2, 0, ways * HIDDEN)
    assert torch.equal(encoded.final, torch.zeros(2, ways, HIDDEN, dtype=torch.float64))


@every_direction
def test_forward_changes_nothing_on_the_module(directions: Directions) -> None:
    encoder, (inputs, mask) = make_encoder(directions), make_batch()
    with unchanged(encoder):
        encoder(inputs, mask).final.sum().backward(inputs=[inputs])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_keeps_padding_out_and_stays_near_float64(dtype: torch.dtype) -> None:
    encoder, (inputs, mask) = make_encoder(), make_batch()
    exact = encoder(inputs, mask)
    encoder.to(dtype)
    near = encoder(inputs.to(dtype), mask)
    assert near.annotations.dtype == near.final.dtype == dtype
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 5e-2}[dtype]
    torch.testing.assert_close(near.annotations.double(), exact.annotations, rtol=0, atol=tolerance)
    garbage = encoder(inputs.to(dtype).masked_fill(~mask[:, :, None], 1e30), mask)
    assert torch.equal(garbage.annotations, near.annotations)


def test_bfloat16_autocast_stays_near_float32_and_its_states_are_float32() -> None:
    encoder, (inputs, mask) = make_encoder().float(), make_batch()
    exact = encoder(inputs.float(), mask)
    with torch.autocast("cpu", torch.bfloat16):
        near = encoder(inputs.float(), mask)
    assert near.annotations.dtype == near.final.dtype == torch.float32
    torch.testing.assert_close(near.annotations, exact.annotations, rtol=0, atol=3e-2)
    assert not torch.equal(near.annotations, exact.annotations)  # it did run in bfloat16


@pytest.mark.unhooked
@pytest.mark.parametrize("shape", [(LONGEST,), (1, LONGEST), (LONGEST, 4), (4, LONGEST, 1)])
def test_a_mask_of_another_shape_raises(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"the key mask must have shape \(4, 7\)"):
        make_encoder()(make_batch()[0], torch.ones(shape, dtype=torch.bool))


@pytest.mark.unhooked
def test_a_mask_of_another_dtype_raises() -> None:
    inputs, mask = make_batch()
    with pytest.raises(InvalidInput, match="a mask must be bool"):
        make_encoder()(inputs, mask.double())
