import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.memory import RNN, ClockworkRNN, ClockworkRNNState
from tests.checks import assert_twins, leaf, randomised, unchanged

BATCH, STEPS, INPUT, SIZE = 2, 9, 3, 2
PERIODS = pytest.mark.parametrize("periods", [(1,), (1, 2, 4), (2, 3, 7), (1, 5)])


def slow_clockwork(rnn: ClockworkRNN, inputs: Tensor, hidden: Tensor, first: int) -> Tensor:
    """Module by module, each with its own blocks of the weights."""
    size, sequences = rnn.module_size, []
    for b, sequence in enumerate(inputs):
        modules, states = list(hidden[b].split(size)), []
        for t, x in enumerate(sequence):
            new = list(modules)
            for i, period in enumerate(rnn.periods):
                if (first + t) % period == 0:
                    own = slice(i * size, (i + 1) * size)
                    sums = rnn.weight_input[own] @ x + rnn.bias[own]
                    for j in range(i, len(modules)):
                        sums = sums + rnn.weight_hidden[i][:, (j - i) * size : (j - i + 1) * size] @ modules[j]
                    new[i] = torch.tanh(sums)
            modules = new
            states.append(torch.cat(modules))
        sequences.append(torch.stack(states))
    return torch.stack(sequences)


@PERIODS
@pytest.mark.parametrize("first", [0, 1, 5])
def test_it_equals_its_slow_twin(periods: tuple[int, ...], first: int) -> None:
    rnn, inputs = randomised(ClockworkRNN(INPUT, SIZE, periods=periods, first=first)), leaf(BATCH, STEPS, INPUT)
    hidden = leaf(BATCH, rnn.hidden_size)

    def fast() -> Tensor:
        outputs: Tensor = rnn(inputs, rnn.initial_state(BATCH)._replace(hidden=hidden))[0]
        return outputs

    assert_twins(fast, lambda: slow_clockwork(rnn, inputs, hidden, first), [inputs, hidden, *rnn.parameters()])


def test_with_all_modules_always_running_it_is_the_simple_network_with_masked_weights() -> None:
    rnn, simple = randomised(ClockworkRNN(INPUT, 5, periods=(1,))), RNN(INPUT, 5).double()
    weights = {"weight_input": rnn.weight_input, "weight_hidden": rnn.recurrent().mT, "bias": rnn.bias}
    simple.load_state_dict(weights)
    inputs = torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    torch.testing.assert_close(rnn(inputs)[0], simple(inputs)[0], rtol=1e-14, atol=1e-14)


def test_no_module_hears_a_faster_one_and_no_optimiser_changes_that() -> None:
    rnn = ClockworkRNN(INPUT, SIZE, periods=(1, 2, 4))
    optimizer = torch.optim.AdamW(rnn.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        rnn(torch.randn(BATCH, STEPS, INPUT))[0].square().sum().backward()
        optimizer.step()
    weight = rnn.recurrent().mT
    blocks = torch.ones(3, 3).triu().repeat_interleave(SIZE, 0).repeat_interleave(SIZE, 1)
    assert ((weight != 0) == (blocks == 1)).all()


def test_it_has_as_many_parameters_as_the_paper_says() -> None:
    modules, size = 4, 5
    rnn = ClockworkRNN(INPUT, size, periods=(1, 2, 4, 8))
    recurrent = size * size * modules * (modules + 1) // 2
    assert sum(weight.numel() for weight in rnn.parameters()) == recurrent + modules * size * (INPUT + 1)


@given(
    periods=st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True).map(sorted),
    first=st.integers(0, 20),
    seed=st.integers(0, 99),
)
def test_a_module_that_does_not_run_keeps_its_state_and_its_gradient(periods: list[int], first: int, seed: int) -> None:
    torch.manual_seed(seed)
    rnn = randomised(ClockworkRNN(INPUT, SIZE, periods=periods, first=first))
    hidden = leaf(BATCH, rnn.hidden_size)
    state = rnn.initial_state(BATCH)._replace(hidden=hidden)
    output, after = rnn.step(torch.randn(BATCH, INPUT, dtype=torch.float64), state)
    slope = torch.randn_like(output)
    for i, period in enumerate(periods):
        own = slice(i * SIZE, (i + 1) * SIZE)
        if first % period:
            assert torch.equal(output[:, own], hidden[:, own])
            (back,) = torch.autograd.grad(output[:, own], hidden, slope[:, own], retain_graph=True)
            assert torch.equal(back[:, own], slope[:, own])
            assert back.count_nonzero() == slope[:, own].count_nonzero()
    assert (after.time == first + 1).all()


def test_a_sequence_may_be_read_in_two_parts() -> None:
    rnn, inputs = randomised(ClockworkRNN(INPUT, SIZE)), torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    whole, _ = rnn(inputs)
    first, state = rnn(inputs[:, :3])
    second, state = rnn(inputs[:, 3:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-14, atol=1e-14)
    assert state.time.tolist() == [STEPS, STEPS]


def test_sequences_of_one_batch_may_be_at_different_times() -> None:
    rnn, inputs = randomised(ClockworkRNN(INPUT, SIZE)), torch.randn(2, STEPS, INPUT, dtype=torch.float64)
    hidden = torch.randn(2, rnn.hidden_size, dtype=torch.float64)
    together, _ = rnn(inputs, ClockworkRNNState(hidden, torch.tensor([1, 4])))
    for b, time in enumerate((1, 4)):
        alone, _ = rnn(inputs[b : b + 1], ClockworkRNNState(hidden[b : b + 1], torch.tensor([time])))
        torch.testing.assert_close(together[b], alone[0], rtol=1e-14, atol=1e-14)


def test_no_time_step_leaves_the_state_as_it_is() -> None:
    rnn = ClockworkRNN(INPUT, SIZE)
    outputs, state = rnn(torch.zeros(BATCH, 0, INPUT))
    assert outputs.shape == (BATCH, 0, 4 * SIZE)
    assert not state.hidden.any()


@PERIODS
def test_forward_changes_nothing_on_the_module(periods: tuple[int, ...]) -> None:
    rnn, inputs = randomised(ClockworkRNN(INPUT, SIZE, periods=periods)), leaf(BATCH, STEPS, INPUT)
    with unchanged(rnn):
        outputs, state = rnn(inputs)
        rnn.step(inputs[:, 0], state)
        outputs.sum().backward(inputs=[inputs])


@pytest.mark.unhooked
def test_bad_periods_and_sizes_raise() -> None:
    with pytest.raises(InvalidInput, match=r"periods must ascend from at least 1, such as \(1, 2, 4\), not \(2, 1\)"):
        ClockworkRNN(INPUT, SIZE, periods=(2, 1))
    with pytest.raises(InvalidInput, match="module_size must be at least 1"):
        ClockworkRNN(INPUT, 0)
    with pytest.raises(InvalidInput, match="inputs must have 3 features, not 5"):
        ClockworkRNN(INPUT, SIZE)(torch.zeros(BATCH, STEPS, 5))
