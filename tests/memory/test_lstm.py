import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.memory import LSTM, LSTMState
from tests.checks import assert_twins, leaf, randomised, unchanged

BATCH, STEPS, INPUT, HIDDEN = 2, 5, 3, 7
with_and_without = pytest.mark.parametrize("peepholes", [True, False])


def slow_lstm(lstm: LSTM, inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (b, t, h) and last cells (b, h), one unit at a time, equations 7 to 11."""
    W_xi, W_xf, W_xc, W_xo = lstm.weight_input.chunk(4)
    W_hi, W_hf, W_hc, W_ho = lstm.weight_hidden.chunk(4)
    b_i, b_f, b_c, b_o = lstm.bias.chunk(4)
    w_ci, w_cf, w_co = torch.zeros(3, HIDDEN).double() if lstm.peepholes is None else lstm.peepholes.chunk(3)
    outputs, cells = [], []
    for sentence, h, c in zip(inputs, hidden, cell, strict=True):
        states = []
        for x in sentence:
            new_h, new_c = [], []
            for n in range(HIDDEN):
                i = torch.sigmoid(W_xi[n] @ x + W_hi[n] @ h + w_ci[n] * c[n] + b_i[n])
                f = torch.sigmoid(W_xf[n] @ x + W_hf[n] @ h + w_cf[n] * c[n] + b_f[n])
                new_c.append(f * c[n] + i * torch.tanh(W_xc[n] @ x + W_hc[n] @ h + b_c[n]))
                o = torch.sigmoid(W_xo[n] @ x + W_ho[n] @ h + w_co[n] * new_c[n] + b_o[n])
                new_h.append(o * torch.tanh(new_c[n]))
            h, c = torch.stack(new_h), torch.stack(new_c)
            states.append(h)
        outputs.append(torch.stack(states))
        cells.append(c)
    return torch.stack(outputs), torch.stack(cells)


@with_and_without
def test_it_equals_its_slow_twin(peepholes: bool) -> None:
    lstm, inputs = randomised(LSTM(INPUT, HIDDEN, peepholes=peepholes)), leaf(BATCH, STEPS, INPUT)
    hidden, cell = leaf(BATCH, HIDDEN), leaf(BATCH, HIDDEN)

    def fast() -> tuple[Tensor, Tensor]:
        outputs, state = lstm(inputs, LSTMState(hidden, cell))
        return outputs, state.cell

    assert_twins(fast, lambda: slow_lstm(lstm, inputs, hidden, cell), [inputs, hidden, cell, *lstm.parameters()])


def test_it_passes_gradcheck() -> None:
    lstm = randomised(LSTM(2, 3))
    assert torch.autograd.gradcheck(
        lambda inputs, hidden, cell: lstm(inputs, LSTMState(hidden, cell))[0], (leaf(2, 3, 2), leaf(2, 3), leaf(2, 3))
    )


@with_and_without
def test_without_peepholes_or_with_zeros_it_equals_torch(peepholes: bool) -> None:
    ours, theirs = (
        randomised(LSTM(INPUT, HIDDEN, peepholes=peepholes)),
        randomised(nn.LSTM(INPUT, HIDDEN, batch_first=True)),
    )
    with torch.no_grad():
        ours.weight_input.copy_(theirs.weight_ih_l0)
        ours.weight_hidden.copy_(theirs.weight_hh_l0)
        ours.bias.copy_(theirs.bias_ih_l0 + theirs.bias_hh_l0)
        if ours.peepholes is not None:
            ours.peepholes.zero_()
    inputs, hidden, cell = leaf(BATCH, STEPS, INPUT), leaf(BATCH, HIDDEN), leaf(BATCH, HIDDEN)
    outputs, state = ours(inputs, LSTMState(hidden, cell))
    expected, (last, last_cell) = theirs(inputs, (hidden[None], cell[None]))
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.hidden, last[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.cell, last_cell[0], rtol=1e-12, atol=1e-12)
    slopes = torch.randn_like(outputs)
    our_slopes = torch.autograd.grad(
        outputs, [inputs, hidden, cell, ours.weight_input, ours.weight_hidden, ours.bias], slopes
    )
    wrt = [inputs, hidden, cell, theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0]
    for our, their in zip(our_slopes, torch.autograd.grad(expected, wrt, slopes), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-12, atol=1e-12)


def test_a_closed_input_and_an_open_forget_gate_keep_the_cell() -> None:
    lstm, cell = randomised(LSTM(INPUT, HIDDEN)), leaf(BATCH, HIDDEN)
    with torch.no_grad():
        lstm.bias[:HIDDEN], lstm.bias[HIDDEN : 2 * HIDDEN] = -1e3, 1e3
    inputs = torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    _, state = lstm(inputs, LSTMState(torch.zeros(BATCH, HIDDEN).double(), cell))
    torch.testing.assert_close(state.cell, cell, rtol=0, atol=0)


@with_and_without
def test_all_steps_at_once_equal_single_steps(peepholes: bool) -> None:
    lstm, inputs = randomised(LSTM(INPUT, HIDDEN, peepholes=peepholes)), leaf(BATCH, STEPS, INPUT)

    def singly() -> tuple[Tensor, Tensor]:
        state, outputs = lstm.initial_state(BATCH), []
        for t in range(STEPS):
            output, state = lstm.step(inputs[:, t], state)
            outputs.append(output)
        return torch.stack(outputs, 1), state.cell

    def at_once() -> tuple[Tensor, Tensor]:
        outputs, state = lstm(inputs)
        return outputs, state.cell

    assert_twins(at_once, singly, [inputs, *lstm.parameters()], 1e-13)


def test_a_sequence_may_be_read_in_two_parts() -> None:
    lstm, inputs = randomised(LSTM(INPUT, HIDDEN)), torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    whole, final = lstm(inputs)
    first, state = lstm(inputs[:, :2])
    second, state = lstm(inputs[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(state.cell, final.cell, rtol=1e-14, atol=1e-14)


def test_without_time_steps_the_state_is_unchanged() -> None:
    lstm, hidden = randomised(LSTM(INPUT, HIDDEN)), torch.randn(BATCH, HIDDEN, dtype=torch.float64)
    outputs, state = lstm(torch.zeros(BATCH, 0, INPUT, dtype=torch.float64), LSTMState(hidden, hidden))
    assert outputs.shape == (BATCH, 0, HIDDEN)
    assert torch.equal(state.cell, hidden)


@with_and_without
def test_forward_changes_nothing_on_the_module(peepholes: bool) -> None:
    lstm, inputs = randomised(LSTM(INPUT, HIDDEN, peepholes=peepholes)), leaf(BATCH, STEPS, INPUT)
    with unchanged(lstm):
        outputs, state = lstm(inputs)
        lstm.step(inputs[:, 0], state)
        outputs.sum().backward(inputs=[inputs])


def test_new_weights_are_orthogonal_blocks_and_a_cell_that_keeps() -> None:
    lstm = LSTM(INPUT, HIDDEN).double()
    for block in lstm.weight_hidden.chunk(4):
        torch.testing.assert_close(block @ block.mT, torch.eye(HIDDEN, dtype=torch.float64), rtol=0, atol=1e-6)
    assert lstm.peepholes is not None
    assert not lstm.peepholes.any()
    assert lstm.bias.tolist() == [0.0] * HIDDEN + [1.0] * HIDDEN + [0.0] * 2 * HIDDEN
    assert set(LSTM(INPUT, HIDDEN, peepholes=False).state_dict()) == {"weight_input", "weight_hidden", "bias"}


def test_bfloat16_autocast_stays_near_float32_and_its_state_is_float32() -> None:
    lstm, inputs = randomised(LSTM(INPUT, HIDDEN)).float(), torch.randn(BATCH, 31, INPUT)
    exact, _ = lstm(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        near, state = lstm(inputs)
    assert near.dtype == state.hidden.dtype == state.cell.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0, atol=5e-2)
    assert not torch.equal(near, exact)  # it did run in bfloat16


@pytest.mark.unhooked
def test_inputs_of_another_size_raise() -> None:
    lstm = randomised(LSTM(INPUT, HIDDEN))
    with pytest.raises(InvalidInput, match="inputs must have 3 features, not 5"):
        lstm(torch.zeros(BATCH, STEPS, 5, dtype=torch.float64))


@pytest.mark.parametrize("bias", [False, True])
def test_weights_are_taken_from_torch_and_given_back(bias: bool) -> None:
    theirs = randomised(nn.LSTM(INPUT, HIDDEN, bias=bias, batch_first=True))
    ours, inputs, hidden = LSTM.from_torch(theirs), leaf(BATCH, STEPS, INPUT), leaf(BATCH, HIDDEN)
    cell = leaf(BATCH, HIDDEN)

    def expected() -> Tensor:
        outputs: Tensor = theirs(inputs, (hidden[None], cell[None]))[0]
        return outputs

    wrt, back = [inputs, hidden, cell], ours.to_torch()
    assert_twins(lambda: ours(inputs, LSTMState(hidden, cell))[0], expected, wrt)
    assert_twins(lambda: back(inputs, (hidden[None], cell[None]))[0], expected, wrt)


@pytest.mark.unhooked
def test_what_torch_cannot_be_or_give_raises() -> None:
    for options in ({"num_layers": 2}, {"bidirectional": True}, {"proj_size": 2}):
        with pytest.raises(InvalidInput, match="LSTM of one layer and one direction"):
            LSTM.from_torch(nn.LSTM(INPUT, HIDDEN, **options))
    with pytest.raises(InvalidInput, match="has no peepholes"):
        LSTM(INPUT, HIDDEN).to_torch()
