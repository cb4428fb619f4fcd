import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.memory import RNN, DelayedRNN, DelayedRNNState
from tests.checks import assert_twins, leaf, randomised, unchanged

BATCH, STEPS, INPUT, HIDDEN = 2, 7, 3, 5
DELAYS = pytest.mark.parametrize("delays", [(1,), (2,), (1, 3), (1, 2, 5), (11,)])


def slow_rnn(rnn: DelayedRNN, inputs: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """h_t = tanh(W x_t + sum_d U_d h_t-d + b), with every hidden state kept by its number."""
    outputs, last = [], []
    for b, sequence in enumerate(inputs):
        hidden = {-1 - i: past[b, i] for i in range(past.shape[1])}
        for t, x in enumerate(sequence):
            sums = rnn.weight_input @ x + rnn.bias
            for delay, U in zip(rnn.delays, rnn.weight_past.chunk(len(rnn.delays), 1), strict=True):
                sums = sums + U @ hidden[t - delay]
            hidden[t] = torch.tanh(sums)
        outputs.append(torch.stack([hidden[t] for t in range(len(sequence))]))
        last.append(torch.stack([hidden[len(sequence) - 1 - i] for i in range(past.shape[1])]))
    return torch.stack(outputs), torch.stack(last)


@DELAYS
def test_it_equals_its_slow_twin(delays: tuple[int, ...]) -> None:
    rnn, inputs = randomised(DelayedRNN(INPUT, HIDDEN, delays=delays)), leaf(BATCH, STEPS, INPUT)
    past = leaf(BATCH, delays[-1], HIDDEN)

    def fast() -> tuple[Tensor, Tensor]:
        outputs, state = rnn(inputs, DelayedRNNState(past))
        return outputs, state.past

    assert_twins(fast, lambda: slow_rnn(rnn, inputs, past), [inputs, past, *rnn.parameters()])


def test_with_a_delay_of_one_it_is_the_simple_network() -> None:
    delayed, simple = randomised(DelayedRNN(INPUT, HIDDEN, delays=(1,))), RNN(INPUT, HIDDEN).double()
    state = delayed.state_dict()
    simple.load_state_dict({name.replace("past", "hidden"): weight for name, weight in state.items()})
    inputs = torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    torch.testing.assert_close(delayed(inputs)[0], simple(inputs)[0], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("delays", "fewest"), [((1,), 24), ((1, 2), 12), ((1, 2, 4, 8), 3), ((1, 5), 8), ((24,), 1)])
def test_the_path_of_a_gradient_is_as_much_shorter_as_the_longest_delay(delays: tuple[int, ...], fewest: int) -> None:
    """With all recurrent weights eps, a path over n connections adds eps^n to the gradient over 24 steps: as eps goes
    to 0, the power of the gradient is the fewest connections."""
    rnn, slopes = DelayedRNN(1, 1, delays=delays, nonlinearity="identity").double(), []
    for eps in (1e-6, 1e-7):
        nn.init.constant_(rnn.weight_past, eps)
        inputs = torch.zeros(1, 25, 1, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(rnn(inputs)[0][0, -1, 0], inputs)
        slopes.append(slope[0, 0, 0].abs())
    assert round((slopes[0] / slopes[1]).log10().item(), 3) == fewest


def test_a_linear_unit_with_one_long_delay_multiplies_only_that_often() -> None:
    rnn, inputs = randomised(DelayedRNN(1, 1, delays=(4,), nonlinearity="identity")), leaf(1, 13, 1)
    (slope,) = torch.autograd.grad(rnn(inputs)[0][0, -1, 0], inputs)
    weight, U = rnn.weight_input.item(), rnn.weight_past.item()
    expected = [weight * U ** ((12 - t) // 4) if (12 - t) % 4 == 0 else 0 for t in range(13)]
    torch.testing.assert_close(slope[0, :, 0], torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_no_time_step_leaves_the_state_as_it_is() -> None:
    rnn, past = DelayedRNN(INPUT, HIDDEN), torch.randn(BATCH, 8, HIDDEN)
    outputs, state = rnn(torch.zeros(BATCH, 0, INPUT), DelayedRNNState(past))
    assert outputs.shape == (BATCH, 0, HIDDEN)
    assert torch.equal(state.past, past)


@DELAYS
def test_forward_changes_nothing_on_the_module(delays: tuple[int, ...]) -> None:
    rnn, inputs = randomised(DelayedRNN(INPUT, HIDDEN, delays=delays)), leaf(BATCH, STEPS, INPUT)
    with unchanged(rnn):
        outputs, state = rnn(inputs)
        rnn.step(inputs[:, 0], state)
        outputs.sum().backward(inputs=[inputs])


@pytest.mark.unhooked
@pytest.mark.parametrize("delays", [(), (0, 1), (2, 1), (1, 1)])
def test_delays_that_do_not_ascend_raise(delays: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="delays must ascend from at least 1"):
        DelayedRNN(INPUT, HIDDEN, delays=delays)
