import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.memory import RNN, RNNState
from saccade.memory.rnn import Nonlinearity
from tests.checks import assert_twins, leaf, randomised, unchanged

BATCH, STEPS, INPUT, HIDDEN = 2, 5, 3, 7
each = pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "identity"])
SLOW = {"tanh": torch.tanh, "relu": lambda x: x if x > 0 else 0 * x, "identity": lambda x: x}


def slow_rnn(rnn: RNN, inputs: Tensor, hidden: Tensor) -> Tensor:
    """h_i = phi(W_i x + U_i h + b_i), one unit at a time."""
    phi, sequences = SLOW[rnn.nonlinearity], []
    for sequence, h in zip(inputs, hidden, strict=True):
        states = []
        for x in sequence:
            sums = [rnn.weight_input[i] @ x + rnn.weight_hidden[i] @ h + rnn.bias[i] for i in range(HIDDEN)]
            h = torch.stack([phi(one) for one in sums])
            states.append(h)
        sequences.append(torch.stack(states))
    return torch.stack(sequences)


@each
def test_it_equals_its_slow_twin(nonlinearity: Nonlinearity) -> None:
    rnn, inputs = randomised(RNN(INPUT, HIDDEN, nonlinearity=nonlinearity)), leaf(BATCH, STEPS, INPUT)
    hidden = leaf(BATCH, HIDDEN)

    def slow() -> tuple[Tensor, Tensor]:
        outputs = slow_rnn(rnn, inputs, hidden)
        return outputs, outputs[:, -1]

    def fast() -> tuple[Tensor, Tensor]:
        outputs, state = rnn(inputs, RNNState(hidden))
        return outputs, state.hidden

    assert_twins(fast, slow, [inputs, hidden, *rnn.parameters()])


def test_it_passes_gradcheck() -> None:
    rnn = randomised(RNN(2, 3))
    assert torch.autograd.gradcheck(lambda x, h: rnn(x, RNNState(h))[0], (leaf(2, 3, 2), leaf(2, 3)))


def test_the_gradient_of_a_linear_unit_is_a_power_of_its_weight() -> None:
    rnn, inputs = randomised(RNN(1, 1, nonlinearity="identity")), leaf(1, STEPS, 1)
    outputs, _ = rnn(inputs)
    (slope,) = torch.autograd.grad(outputs[0, -1, 0], inputs)
    expected = [rnn.weight_input.item() * rnn.weight_hidden.item() ** (STEPS - 1 - t) for t in range(STEPS)]
    torch.testing.assert_close(slope[0, :, 0], torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [False, True])
def test_weights_are_taken_from_torch_and_given_back(nonlinearity: Nonlinearity, bias: bool) -> None:
    theirs = randomised(nn.RNN(INPUT, HIDDEN, nonlinearity=nonlinearity, bias=bias, batch_first=True))
    ours, inputs, hidden = RNN.from_torch(theirs), leaf(BATCH, STEPS, INPUT), leaf(BATCH, HIDDEN)
    back = ours.to_torch()
    for other in (theirs, back):
        assert_twins(
            lambda: ours(inputs, RNNState(hidden))[0],
            lambda other=other: other(inputs, hidden[None])[0],  # type: ignore[misc]
            [inputs, hidden],
        )


@pytest.mark.unhooked
def test_what_is_not_one_layer_in_one_direction_raises() -> None:
    for options in ({"num_layers": 2}, {"bidirectional": True}):
        with pytest.raises(InvalidInput, match="RNN of one layer and one direction"):
            RNN.from_torch(nn.RNN(INPUT, HIDDEN, **options))
    with pytest.raises(InvalidInput, match='has no nonlinearity "identity"'):
        RNN(INPUT, HIDDEN, nonlinearity="identity").to_torch()
    with pytest.raises(InvalidInput, match="nonlinearity must be 'tanh' or 'relu' or 'identity', not 'sigmoid'"):
        RNN(INPUT, HIDDEN, nonlinearity="sigmoid")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="inputs must have 3 features, not 5"):
        RNN(INPUT, HIDDEN)(torch.zeros(BATCH, STEPS, 5))


def test_no_time_step_leaves_the_state_as_it_is() -> None:
    rnn, hidden = randomised(RNN(INPUT, HIDDEN)), torch.randn(BATCH, HIDDEN, dtype=torch.float64)
    outputs, state = rnn(torch.zeros(BATCH, 0, INPUT, dtype=torch.float64), RNNState(hidden))
    assert outputs.shape == (BATCH, 0, HIDDEN)
    assert torch.equal(state.hidden, hidden)


@each
def test_forward_changes_nothing_on_the_module(nonlinearity: Nonlinearity) -> None:
    rnn, inputs = randomised(RNN(INPUT, HIDDEN, nonlinearity=nonlinearity)), leaf(BATCH, STEPS, INPUT)
    with unchanged(rnn):
        outputs, state = rnn(inputs)
        rnn.step(inputs[:, 0], state)
        outputs.sum().backward(inputs=[inputs])


def test_bfloat16_autocast_stays_near_float32_and_its_state_is_float32() -> None:
    rnn, inputs = RNN(INPUT, HIDDEN), torch.randn(BATCH, 31, INPUT)
    exact, _ = rnn(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        near, state = rnn(inputs)
    assert near.dtype == state.hidden.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0, atol=0.1)
    assert not torch.equal(near, exact)  # it did run in bfloat16
