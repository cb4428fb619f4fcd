from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.products import install
from saccade.memory import GRU, GRUState
from saccade.memory.gru import Projected, Recurrent, gru_step
from tests.checks import assert_twins, leaf, randomised, unchanged

BATCH, STEPS, INPUT, HIDDEN = 2, 5, 3, 7
RESETS: list[Literal["before", "after"]] = ["before", "after"]
both_resets = pytest.mark.parametrize("reset", RESETS)


def slow_parts(gru: GRU, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Update gate z and candidate h~ of one step, one unit at a time: x (d,), h (h,).

    r = sigmoid(W_r x + U_r h + b_r), z likewise; h~ = tanh(W x + U (r * h) + b) with the reset before the product,
    h~ = tanh(W x + r * (U h + b_U) + b) with the reset after it.
    """
    units = range(len(h))
    (W_r, W_z, W), (U_r, U_z, U) = gru.weight_input.chunk(3), gru.weight_hidden.chunk(3)
    b_r, b_z, b = gru.bias.chunk(3)
    r = torch.stack([torch.sigmoid(W_r[i] @ x + U_r[i] @ h + b_r[i]) for i in units])
    z = torch.stack([torch.sigmoid(W_z[i] @ x + U_z[i] @ h + b_z[i]) for i in units])
    if gru.bias_hidden is None:
        products = [sum(U[i, j] * r[j] * h[j] for j in units) for i in units]
    else:
        products = [r[i] * (U[i] @ h + gru.bias_hidden[i]) for i in units]
    return z, torch.stack([torch.tanh(W[i] @ x + products[i] + b[i]) for i in units])


def slow_step(gru: GRU, x: Tensor, h: Tensor) -> Tensor:
    """h' = z h + (1 - z) h~."""
    z, candidate = slow_parts(gru, x, h)
    return z * h + (1 - z) * candidate


def slow_gru(gru: GRU, inputs: Tensor, hidden: Tensor) -> Tensor:
    sentences = []
    for sentence, h in zip(inputs, hidden, strict=True):
        states = []
        for x in sentence:
            h = slow_step(gru, x, h)
            states.append(h)
        sentences.append(torch.stack(states))
    return torch.stack(sentences)


def make_gru(reset: Literal["before", "after"] = "before") -> GRU:
    return randomised(GRU(INPUT, HIDDEN, reset=reset))


@both_resets
def test_it_equals_its_slow_twin(reset: Literal["before", "after"]) -> None:
    gru, inputs, hidden = make_gru(reset), leaf(BATCH, STEPS, INPUT), leaf(BATCH, HIDDEN)

    def fast() -> tuple[Tensor, Tensor]:
        outputs, state = gru(inputs, GRUState(hidden))
        return outputs, state.hidden

    def slow() -> tuple[Tensor, Tensor]:
        outputs = slow_gru(gru, inputs, hidden)
        return outputs, outputs[:, -1]

    assert_twins(fast, slow, [inputs, hidden, *gru.parameters()])


@both_resets
def test_it_passes_gradcheck(reset: Literal["before", "after"]) -> None:
    gru = randomised(GRU(2, 3, reset=reset))
    assert torch.autograd.gradcheck(
        lambda inputs, hidden: gru(inputs, GRUState(hidden))[0], (leaf(2, 3, 2), leaf(2, 3))
    )


def test_with_the_reset_after_it_equals_torch() -> None:
    ours, theirs = make_gru("after"), randomised(nn.GRU(INPUT, HIDDEN, batch_first=True))
    gates = 2 * HIDDEN
    with torch.no_grad():
        ours.weight_input.copy_(theirs.weight_ih_l0)
        ours.weight_hidden.copy_(theirs.weight_hh_l0)
        # torch has two biases; only that of the candidate's recurrent product cannot be merged with the other
        ours.bias.copy_(theirs.bias_ih_l0)
        ours.bias[:gates] += theirs.bias_hh_l0[:gates]
        assert ours.bias_hidden is not None
        ours.bias_hidden.copy_(theirs.bias_hh_l0[gates:])
    inputs, hidden = leaf(BATCH, STEPS, INPUT), leaf(BATCH, HIDDEN)
    outputs, state = ours(inputs, GRUState(hidden))
    expected, final = theirs(inputs, hidden[None])
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.hidden, final[0], rtol=1e-12, atol=1e-12)
    slopes = torch.randn_like(outputs)
    wrt = [inputs, hidden, ours.weight_input, ours.weight_hidden, ours.bias, ours.bias_hidden]
    our_slopes = torch.autograd.grad(outputs, wrt, slopes)
    wrt = [inputs, hidden, theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0, theirs.bias_hh_l0]
    *their_slopes, bias_hidden = torch.autograd.grad(expected, wrt, slopes)
    for our, their in zip(our_slopes, [*their_slopes, bias_hidden[gates:]], strict=True):
        torch.testing.assert_close(our, their, rtol=1e-12, atol=1e-12)


def test_the_position_of_the_reset_gate_has_no_effect_if_it_is_saturated() -> None:
    before, after = make_gru("before"), make_gru("after")
    after.load_state_dict(before.state_dict() | {"bias_hidden": torch.zeros(HIDDEN)})
    inputs = torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    assert (before(inputs)[0] - after(inputs)[0]).abs().max() > 1e-3
    for gru in (before, after):
        with torch.no_grad():
            gru.bias[:HIDDEN] = 1e3
    torch.testing.assert_close(before(inputs)[0], after(inputs)[0], rtol=1e-14, atol=1e-14)


def test_the_update_gate_of_bahdanau_is_inverted() -> None:
    gru, x, h = make_gru(), torch.randn(INPUT, dtype=torch.float64), torch.randn(HIDDEN, dtype=torch.float64)
    _, candidate = slow_parts(gru, x, h)
    W_z, U_z, b_z = (weight.chunk(3)[1] for weight in (gru.weight_input, gru.weight_hidden, gru.bias))
    theirs = torch.sigmoid(-W_z @ x - U_z @ h - b_z)
    stepped, _ = gru.step(x[None], GRUState(h[None]))
    torch.testing.assert_close(stepped[0], (1 - theirs) * h + theirs * candidate, rtol=1e-14, atol=1e-14)


@both_resets
def test_unrolled_it_is_a_convex_mixture_of_its_candidates_and_the_first_state(
    reset: Literal["before", "after"],
) -> None:
    """h_t = (prod_{j=1}^t u_j) h_0 + sum_i (prod_{j=i+1}^t u_j) (1 - u_i) h~_i, u the update gate, per channel."""
    gru, inputs = make_gru(reset), torch.randn(STEPS, INPUT, dtype=torch.float64)
    first = torch.randn(HIDDEN, dtype=torch.float64)
    outputs = gru(inputs[None], GRUState(first[None]))[0][0]
    parts = [slow_parts(gru, x, h) for x, h in zip(inputs, [first, *outputs[:-1]], strict=True)]
    for t in range(1, STEPS + 1):
        weights = []
        for i in range(1, t + 1):
            weight = 1 - parts[i - 1][0]
            for j in range(i + 1, t + 1):
                weight = weight * parts[j - 1][0]
            weights.append(weight)
        kept = torch.ones(HIDDEN, dtype=torch.float64)
        for j in range(1, t + 1):
            kept = kept * parts[j - 1][0]
        state = kept * first + sum(weight * parts[i][1] for i, weight in enumerate(weights))
        torch.testing.assert_close(outputs[t - 1], state, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(kept + sum(weights), torch.ones_like(kept), rtol=1e-12, atol=1e-12)


@both_resets
def test_all_steps_at_once_equal_single_steps(reset: Literal["before", "after"]) -> None:
    gru, inputs = make_gru(reset), leaf(BATCH, STEPS, INPUT)

    def singly() -> tuple[Tensor, Tensor]:
        state, outputs = gru.initial_state(BATCH), []
        for t in range(STEPS):
            output, state = gru.step(inputs[:, t], state)
            outputs.append(output)
        return torch.stack(outputs, 1), state.hidden

    def at_once() -> tuple[Tensor, Tensor]:
        outputs, state = gru(inputs)
        return outputs, state.hidden

    assert_twins(at_once, singly, [inputs, *gru.parameters()], 1e-13)


def test_a_sequence_may_be_read_in_two_parts() -> None:
    gru, inputs = make_gru(), torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    whole, final = gru(inputs)
    first, state = gru(inputs[:, :2])
    second, state = gru(inputs[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(state.hidden, final.hidden, rtol=1e-14, atol=1e-14)


def test_without_a_state_it_starts_from_zeros() -> None:
    gru, inputs = make_gru(), torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    state = gru.initial_state(BATCH)
    assert torch.equal(state.hidden, torch.zeros(BATCH, HIDDEN, dtype=torch.float64))
    assert torch.equal(gru(inputs)[0], gru(inputs, state)[0])


def test_without_time_steps_the_state_is_unchanged() -> None:
    gru, hidden = make_gru(), torch.randn(BATCH, HIDDEN, dtype=torch.float64)
    outputs, state = gru(torch.zeros(BATCH, 0, INPUT, dtype=torch.float64), GRUState(hidden))
    assert outputs.shape == (BATCH, 0, HIDDEN)
    assert torch.equal(state.hidden, hidden)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@both_resets
def test_an_infinite_update_keeps_the_state_and_its_gradient_to_the_last_bit(
    dtype: torch.dtype, reset: Literal["before", "after"]
) -> None:
    gru, hidden = make_gru(reset).to(dtype), leaf(BATCH, HIDDEN, dtype=dtype)
    projected = gru.project(leaf(BATCH, INPUT, dtype=dtype))
    gates = projected.gates.detach().clone()
    gates[:, HIDDEN:] = torch.inf
    gates.requires_grad_()
    kept = gru_step(Projected(gates, projected.candidate), hidden, gru.recurrent())
    assert torch.equal(kept, hidden)
    upstream = torch.randn_like(kept)
    to_state, to_gates, to_weights = torch.autograd.grad(kept, [hidden, gates, gru.weight_hidden], upstream)
    assert torch.equal(to_state, upstream)
    assert not to_gates.any()
    assert not to_weights.any()


def test_nets_side_by_side_are_independent() -> None:
    nets, inputs = [make_gru() for _ in range(3)], torch.randn(3, BATCH, INPUT, dtype=torch.float64)
    hidden = torch.randn(3, BATCH, HIDDEN, dtype=torch.float64)
    projected = [net.project(x) for net, x in zip(nets, inputs, strict=True)]
    recurrent = [net.recurrent() for net in nets]
    together = gru_step(
        Projected(*(torch.stack(parts) for parts in zip(*projected, strict=True))),
        hidden,
        Recurrent(torch.stack([r.gates for r in recurrent]), torch.stack([r.candidate for r in recurrent]), None),
    )
    for net, x, h, stepped in zip(nets, inputs, hidden, together, strict=True):
        torch.testing.assert_close(stepped, net.step(x, GRUState(h))[0], rtol=1e-14, atol=1e-14)


@both_resets
def test_forward_changes_nothing_on_the_module(reset: Literal["before", "after"]) -> None:
    gru, inputs = make_gru(reset), leaf(BATCH, STEPS, INPUT)
    with unchanged(gru):
        outputs, state = gru(inputs)
        gru.step(inputs[:, 0], state)
        outputs.sum().backward(inputs=[inputs])


@both_resets
def test_new_weights_are_orthogonal_blocks_and_zero_biases(reset: Literal["before", "after"]) -> None:
    gru = GRU(INPUT, HIDDEN, reset=reset).double()
    for block in gru.weight_hidden.chunk(3):
        torch.testing.assert_close(block @ block.mT, torch.eye(HIDDEN, dtype=torch.float64), rtol=0, atol=1e-6)
    assert gru.weight_input.isfinite().all()
    assert not gru.bias.any()
    names = {"weight_input", "weight_hidden", "bias"}
    if reset == "after":
        assert gru.bias_hidden is not None
        assert not gru.bias_hidden.any()
        names |= {"bias_hidden"}
    assert set(gru.state_dict()) == names


@both_resets
def test_bfloat16_autocast_stays_near_float32_and_its_state_is_float32(reset: Literal["before", "after"]) -> None:
    gru, inputs = make_gru(reset).float(), torch.randn(BATCH, 31, INPUT)
    exact, _ = gru(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        near, state = gru(inputs)
    assert near.dtype == state.hidden.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0, atol=3e-2)
    assert not torch.equal(near, exact)  # it did run in bfloat16


@pytest.mark.unhooked
def test_inputs_of_another_size_raise() -> None:
    gru = make_gru()
    with pytest.raises(InvalidInput, match="inputs must have 3 features, not 5"):
        gru(torch.zeros(BATCH, STEPS, 5, dtype=torch.float64))
    with pytest.raises(InvalidInput, match="inputs must have 3 features, not 5"):
        gru.step(torch.zeros(BATCH, 5, dtype=torch.float64), gru.initial_state(BATCH))


@pytest.mark.parametrize("nets", [(), (2,)])
@both_resets
def test_a_step_by_onednn_is_the_step(
    nets: tuple[int, ...], reset: Literal["before", "after"], by_onednn: list[int]
) -> None:
    layer = GRU(5, 6, reset=reset)
    install(layer)
    gates, candidate, bias, add = layer.recurrent()
    if nets:
        gates, candidate = (part.expand(*nets, *part.shape).contiguous() for part in (gates, candidate))
    recurrent = Recurrent(gates.detach(), candidate.detach(), None if bias is None else bias.detach(), add)
    projected = Projected(torch.randn(*nets, 9, 12), torch.randn(*nets, 9, 6))
    hidden = torch.randn(*nets, 9, 6)
    with torch.backends.mkldnn.flags(enabled=False):
        slow = gru_step(projected, hidden, recurrent)
    assert not by_onednn
    fast = gru_step(projected, hidden, recurrent)
    assert len(by_onednn) == (2 if reset == "before" else 1) * (2 if nets else 1)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
def test_weights_are_taken_from_torch_and_given_back(bias: bool) -> None:
    theirs = randomised(nn.GRU(INPUT, HIDDEN, bias=bias, batch_first=True))
    ours, inputs, hidden = GRU.from_torch(theirs), leaf(BATCH, STEPS, INPUT), leaf(BATCH, HIDDEN)
    assert_twins(lambda: ours(inputs, GRUState(hidden))[0], lambda: theirs(inputs, hidden[None])[0], [inputs, hidden])
    back = ours.to_torch()
    assert_twins(lambda: back(inputs, hidden[None])[0], lambda: theirs(inputs, hidden[None])[0], [inputs, hidden])


@pytest.mark.unhooked
def test_what_torch_cannot_be_or_give_raises() -> None:
    with pytest.raises(InvalidInput, match="GRU of one layer and one direction"):
        GRU.from_torch(nn.GRU(INPUT, HIDDEN, num_layers=2))
    with pytest.raises(InvalidInput, match="resets after the product"):
        GRU(INPUT, HIDDEN).to_torch()
