"""Jacobians through time against explicit products of autograd's, and what clipping does."""

from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.explain.jacobians import gradient_through_time, jacobians, singular_values
from saccade.memory import GRU, LSTM, RNN, ClockworkRNN, DelayedRNN
from tests.checks import randomised

STEPS, INPUT, HIDDEN = 5, 3, 4
NETS: list[Any] = [
    lambda: RNN(INPUT, HIDDEN), lambda: GRU(INPUT, HIDDEN), lambda: LSTM(INPUT, HIDDEN),
    lambda: DelayedRNN(INPUT, HIDDEN, delays=(1, 3)), lambda: ClockworkRNN(INPUT, 2, periods=(1, 2)),
]  # fmt: skip


def flat(state: Any) -> Tensor:
    return torch.cat([part.flatten() for part in state if part.is_floating_point()])


@pytest.fixture(params=NETS, ids=["rnn", "gru", "lstm", "delayed", "clockwork"])
def net(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(3)
    return randomised(request.param())


def test_they_are_the_products_of_autograds_jacobians(net: Any) -> None:
    inputs = torch.randn(STEPS, INPUT, dtype=torch.float64)
    found = singular_values(jacobians(net.step, inputs, net.initial_state(1)))
    # explicit: every state is a leaf of the next step, one row of d s_T / d s_t at a time
    states = [net.initial_state(1)]
    for one in inputs:
        states.append(net.step(one[None], states[-1])[1])
    for back in range(1, STEPS + 1):
        fields = [part.detach().requires_grad_(part.is_floating_point()) for part in states[STEPS - back]]
        state = start = type(states[0])(*fields)
        for one in inputs[STEPS - back :]:
            state = net.step(one[None], state)[1]
        leaves = [part for part in start if part.is_floating_point()]
        rows = []
        for feature in flat(state):
            slopes = torch.autograd.grad(feature, leaves, retain_graph=True, allow_unused=True)
            filled = [torch.zeros_like(x) if s is None else s for s, x in zip(slopes, leaves, strict=True)]
            rows.append(torch.cat([slope.flatten() for slope in filled]))
        expected = torch.linalg.svdvals(torch.stack(rows))
        torch.testing.assert_close(found[back - 1], expected, rtol=1e-9, atol=1e-12)


def test_of_a_linear_network_they_are_powers() -> None:
    rnn = RNN(INPUT, HIDDEN, nonlinearity="identity").double()
    with torch.no_grad():
        rnn.weight_hidden.copy_(torch.diag(torch.tensor([0.5, 1.0, 1.5, 2.0])))
    found = singular_values(jacobians(rnn.step, torch.zeros(6, INPUT).double(), rnn.initial_state(1)))
    for k in range(6):
        torch.testing.assert_close(found[k].tolist(), [2.0 ** (k + 1), 1.5 ** (k + 1), 1.0, 0.5 ** (k + 1)])


def test_the_terms_of_all_steps_are_those_of_the_gradient(net: Any) -> None:
    inputs = torch.randn(1, STEPS, INPUT, dtype=torch.float64)
    found = gradient_through_time(net, inputs, lambda outputs: outputs.square().sum())
    assert all(weight.grad is None for weight in net.parameters())
    # finite differences: the weight of one step alone is moved
    for t in (0, STEPS - 1):
        total = 0.0
        for weight in net.parameters():
            for place in range(weight.numel()):
                values = []
                for change in (1e-5, -1e-5):
                    state, outputs = net.initial_state(1), None
                    for step, one in enumerate(inputs.unbind(1)):
                        with torch.no_grad():
                            weight.view(-1)[place] += change * (step == t)
                            outputs, state = net.step(one, state)
                            weight.view(-1)[place] -= change * (step == t)
                    assert outputs is not None
                    values.append(float(outputs.square().sum()))
                total += ((values[0] - values[1]) / 2e-5) ** 2
        assert float(found[t]) == pytest.approx(total**0.5, rel=1e-4, abs=1e-9)


def test_a_batch_is_refused() -> None:
    rnn = RNN(INPUT, HIDDEN)
    with pytest.raises(InvalidInput, match="one sequence"):
        jacobians(rnn.step, torch.zeros(2, INPUT), rnn.initial_state(2))
