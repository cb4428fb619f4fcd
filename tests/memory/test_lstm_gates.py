"""The gates of an LSTM, captured."""

import pytest
import torch

from saccade.explain import capture
from saccade.memory import LSTM, LSTMState
from saccade.memory.lstm_gates import LSTMGates
from tests.checks import leaf, randomised

BATCH, STEPS, INPUT, HIDDEN = 2, 5, 3, 7


@pytest.mark.parametrize("peepholes", [True, False])
def test_it_computes_what_the_lstm_computes(peepholes: bool) -> None:
    lstm, inputs = randomised(LSTM(INPUT, HIDDEN, peepholes=peepholes)), leaf(BATCH, STEPS, INPUT)
    state = LSTMState(leaf(BATCH, HIDDEN), leaf(BATCH, HIDDEN))
    gates = LSTMGates(lstm)
    for ours, theirs in zip(gates(inputs, state), lstm(inputs, state), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert dict(gates.named_parameters()).keys() == {f"lstm.{name}" for name, _ in lstm.named_parameters()}
    assert gates(inputs[:, :0], state)[0].shape == (BATCH, 0, HIDDEN)


def test_the_captured_gates_are_those_of_the_equations() -> None:
    lstm, inputs = randomised(LSTM(INPUT, HIDDEN)), leaf(BATCH, STEPS, INPUT)
    gates = LSTMGates(lstm)
    with torch.no_grad(), capture(gates) as seen:
        outputs, state = gates(inputs)
    assert set(seen) == {"forget", "input", "candidate", "cell", "output"}
    forget, write, candidate, cell, output = (
        seen[name][0] for name in ("forget", "input", "candidate", "cell", "output")
    )
    before = torch.cat([torch.zeros_like(cell[:, :1]), cell[:, :-1]], 1)
    torch.testing.assert_close(cell, forget * before + write * candidate, rtol=0, atol=1e-12)
    torch.testing.assert_close(outputs, output * cell.tanh(), rtol=0, atol=1e-12)
    torch.testing.assert_close(state.cell, cell[:, -1], rtol=0, atol=0)
    w_i, b_i, p_i = lstm.weight_input[:HIDDEN], lstm.bias[:HIDDEN], lstm.peepholes
    assert p_i is not None
    first = torch.sigmoid(inputs[:, 0] @ w_i.mT + b_i)  # the first state is zero
    torch.testing.assert_close(write[:, 0], first, rtol=0, atol=1e-12)
