"""The oracle: cells one unit at a time, layer by layer, each sentence at its true length, in float64."""

import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask
from saccade.nets.recurrent_stack import Cell, Directions, RecurrentStack, StackState
from tests.checks import assert_twins, leaf, randomised, unchanged

INPUT, HIDDEN, LAYERS, LONGEST = 3, 2, 2, 5
LENGTHS = [5, 2, 1, 3]
CELLS: list[Cell] = ["lstm", "gru", "rnn"]
WAYS: list[Directions] = ["forward", "backward", "both"]
every_cell = pytest.mark.parametrize("cell", CELLS)
every_way = pytest.mark.parametrize("directions", WAYS)


def make_stack(cell: Cell = "lstm", directions: Directions = "forward") -> RecurrentStack:
    return randomised(RecurrentStack(INPUT, HIDDEN, cell=cell, layers=LAYERS, directions=directions))


def make_batch() -> tuple[Tensor, Tensor]:
    return leaf(len(LENGTHS), LONGEST, INPUT), length_mask(torch.tensor(LENGTHS), LONGEST)


def slow_cell(layer: nn.Module, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One step of one sentence; the sums of each gate in torch's order."""
    W, U, b, d = (getattr(layer, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    read, kept = (W @ x + b).split(HIDDEN), (U @ h + d).split(HIDDEN)
    if isinstance(layer, nn.LSTM):
        i, f, g, o = (one + other for one, other in zip(read, kept, strict=True))
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
    if isinstance(layer, nn.GRU):
        reset, update = (read[0] + kept[0]).sigmoid(), (read[1] + kept[1]).sigmoid()
        return update * h + (1 - update) * (read[2] + reset * kept[2]).tanh(), c
    return (read[0] + kept[0]).tanh(), c


def slow_stack(stack: RecurrentStack, inputs: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Outputs, zero at padding, and the last state of each layer and direction."""
    ways = {"forward": [False], "backward": [True], "both": [False, True]}[stack.directions]
    outputs, finals = [], []
    for sentence, length in zip(inputs, lengths, strict=True):
        rows, last = list(sentence[:length]), []
        for layer in stack.layers:
            found: list[list[Tensor]] = []
            for way, net in zip(ways, layer, strict=True):  # type: ignore[call-overload]
                h = c = torch.zeros(HIDDEN, dtype=torch.float64)
                states = {}
                for t in reversed(range(length)) if way else range(length):
                    h, c = slow_cell(net, rows[t], h, c)
                    states[t] = h
                found.append([states[t] for t in range(length)])
                last.append(h)
            rows = [torch.cat(parts) for parts in zip(*found, strict=True)]
        outputs.append(torch.stack([*rows, *[torch.zeros_like(rows[0])] * (inputs.shape[1] - length)]))
        finals.append(torch.stack(last))
    return torch.stack(outputs), torch.stack(finals)


@every_cell
@every_way
def test_it_equals_its_slow_twin_on_true_lengths(cell: Cell, directions: Directions) -> None:
    stack, (inputs, mask) = make_stack(cell, directions), make_batch()

    def fast() -> tuple[Tensor, Tensor]:
        with unchanged(stack):
            outputs, state = stack(inputs, mask)
        assert torch.equal(stack.final(state), state.hidden[:, -(1 + (directions == "both")) :].flatten(1))
        return outputs, state.hidden

    assert_twins(fast, lambda: slow_stack(stack, inputs, LENGTHS), [inputs, *stack.parameters()])


@every_cell
@every_way
def test_padding_reaches_neither_outputs_nor_gradients(cell: Cell, directions: Directions) -> None:
    stack, (inputs, mask) = make_stack(cell, directions), make_batch()
    spoiled = inputs.detach().masked_fill(~mask[:, :, None], torch.nan).requires_grad_()
    outputs, state = stack(spoiled, mask)
    expected, _ = stack(inputs, mask)
    torch.testing.assert_close(outputs, expected)
    [slope] = torch.autograd.grad(outputs.sum() + state.hidden.sum(), spoiled)
    assert not slope[~mask].any()


@every_cell
def test_windows_with_a_carried_state_equal_one_pass(cell: Cell) -> None:
    stack, inputs = make_stack(cell), leaf(2, 7, INPUT)
    whole, end = stack(inputs)
    state, parts = None, []
    for window in inputs.split([3, 1, 3], 1):
        outputs, state = stack(window, state=state)
        parts.append(outputs)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    torch.testing.assert_close(state, end)
    state = stack.initial_state(2)
    for t in range(7):
        output, state = stack.step(inputs[:, t], state)
        torch.testing.assert_close(output, whole[:, t])


def test_a_detached_state_stops_the_gradient_at_the_window() -> None:
    stack, inputs = make_stack(), leaf(2, 6, INPUT)
    first, second = inputs.split(3, 1)
    _, state = stack(first)
    outputs, _ = stack(second, state=StackState(*(part.detach() for part in state)))
    [slope] = torch.autograd.grad(outputs.sum(), inputs)
    assert not slope[:, :3].any()
    assert slope[:, 3:].any()


@every_way
def test_an_empty_sequence_has_outputs_and_states_of_zero(directions: Directions) -> None:
    stack, inputs = make_stack(directions=directions), leaf(2, 3, INPUT)
    mask = length_mask(torch.tensor([0, 3]), 3)
    outputs, state = stack(inputs, mask)
    assert not outputs[0].any()
    assert not state.hidden[0].any()
    torch.testing.assert_close(outputs[1:], stack(inputs[1:])[0])
    assert stack(inputs[:, :0])[0].shape == (2, 0, stack.output_size)


def test_the_first_weights_are_those_of_our_cells() -> None:
    stack = RecurrentStack(INPUT, HIDDEN, directions="both")
    [layer] = stack.layers
    for net in layer:  # type: ignore[union-attr]
        assert torch.equal(net.bias_ih_l0[HIDDEN : 2 * HIDDEN], torch.ones(HIDDEN))
        recurrent = net.weight_hh_l0[:HIDDEN]
        torch.testing.assert_close(recurrent @ recurrent.T, torch.eye(HIDDEN))


def test_dropout_stands_between_layers_only() -> None:
    torch.manual_seed(0)
    one, two = RecurrentStack(3, 64, dropout=0.5), RecurrentStack(3, 64, layers=2, dropout=0.5)
    inputs = torch.randn(2, 4, 3)
    assert torch.equal(one.train()(inputs)[0], one.eval()(inputs)[0])
    assert not torch.equal(two.train()(inputs)[0], two.eval()(inputs)[0])


@pytest.mark.unhooked
def test_other_sizes_and_names_are_refused() -> None:
    with pytest.raises(InvalidInput, match="lstm, gru, rnn, not 'elman'"):
        RecurrentStack(2, 3, cell="elman")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="layers must be at least 1"):
        RecurrentStack(2, 3, layers=0)
    stack, inputs = make_stack(directions="both"), torch.zeros(1, 2, INPUT, dtype=torch.float64)
    with pytest.raises(InvalidInput, match="3 features, not 2"):
        stack(inputs[:, :, :2])
    with pytest.raises(InvalidInput, match="backward pass begins at the end"):
        stack(inputs, state=stack.initial_state(1))


@every_cell
@every_way
def test_dropped_weights_are_drawn_once_for_all_steps(cell: Cell, directions: Directions) -> None:
    """The oracle: the slow stack, with the same draw taken from its recurrent weights by hand."""
    stack, (inputs, mask) = make_stack(cell, directions), make_batch()
    stack.weight_dropout.p, start = 0.5, torch.get_rng_state()
    outputs, state = stack.train()(inputs, mask)
    slopes = torch.autograd.grad(outputs.square().sum(), [net.weight_hh_l0 for net in nets(stack)])
    torch.set_rng_state(start)
    kept = [stack.weight_dropout(torch.ones_like(net.weight_hh_l0)) for net in nets(stack)]
    assert {float(value) for each in kept for value in each.flatten()} == {0.0, 2.0}
    with torch.no_grad():
        for net, factor in zip(nets(stack), kept, strict=True):
            net.weight_hh_l0.mul_(factor)
    expected, states = slow_stack(stack, inputs, LENGTHS)
    torch.testing.assert_close((outputs, state.hidden), (expected, states))
    for slope, factor in zip(slopes, kept, strict=True):
        assert not slope[factor == 0].any()
        assert slope[factor > 0].all()


def test_weights_are_dropped_in_training_only() -> None:
    stack, (inputs, mask) = make_stack(), make_batch()
    expected, _ = stack.eval()(inputs, mask)
    stack.weight_dropout.p = 0.5
    assert torch.equal(stack(inputs, mask)[0], expected)
    assert not torch.equal(stack.train()(inputs, mask)[0], expected)


def nets(stack: RecurrentStack) -> list[nn.RNNBase]:
    return [net for layer in stack.layers for net in layer]  # type: ignore[attr-defined]
