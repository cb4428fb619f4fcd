import torch
from torch import Tensor

from saccade.nets.readout import MaxoutReadout
from tests.checks import assert_twins, leaf, randomised, unchanged

SIZES, WIDTH, VOCABULARY = (3, 5, 7), 11, 13


def make_readout(dropout: float = 0.0) -> MaxoutReadout:
    return randomised(MaxoutReadout(SIZES, WIDTH, VOCABULARY, dropout))


def slow_readout(readout: MaxoutReadout, inputs: tuple[Tensor, ...]) -> Tensor:
    """t~ = sum_n U_n x_n + b, t_j = max(t~_2j-1, t~_2j), logits = W t, for one vector each."""
    blocks, W, c = readout.hidden.weight.split(SIZES, 1), readout.output.weight, readout.output.bias
    wide = [
        sum(U[i] @ x for U, x in zip(blocks, inputs, strict=True)) + readout.hidden.bias[i] for i in range(2 * WIDTH)
    ]
    # j counts from 1 in the paper
    t = torch.stack([torch.max(wide[2 * j - 2], wide[2 * j - 1]) for j in range(1, WIDTH + 1)])
    return torch.stack([W[k] @ t + c[k] for k in range(VOCABULARY)])


def test_it_equals_its_slow_twin_at_every_time_step() -> None:
    readout, inputs = make_readout(), tuple(leaf(2, 3, size) for size in SIZES)

    def slow() -> Tensor:
        rows = [[slow_readout(readout, tuple(x[i, t] for x in inputs)) for t in range(3)] for i in range(2)]
        return torch.stack([torch.stack(row) for row in rows])

    assert_twins(lambda: readout(*inputs).logits(), slow, [*inputs, *readout.parameters()])


def test_it_passes_gradcheck() -> None:
    readout = randomised(MaxoutReadout((2, 3), 5, 3))
    assert torch.autograd.gradcheck(lambda *inputs: readout(*inputs).logits(), (leaf(2, 2), leaf(2, 3)))


def test_one_step_equals_all_steps_at_once() -> None:
    readout, inputs = make_readout(), tuple(leaf(2, 3, size) for size in SIZES)
    at_once = readout(*inputs).logits()
    for t in range(3):
        step = readout(*(x[:, t] for x in inputs)).logits()
        torch.testing.assert_close(step, at_once[:, t], rtol=1e-13, atol=1e-13)


def test_the_result_holds_the_features_and_the_matrix_itself() -> None:
    readout = make_readout()
    projection = readout(*(leaf(2, 3, size) for size in SIZES))
    assert projection.features.shape == (2, 3, WIDTH)
    assert projection.weight is readout.output.weight
    assert projection.bias is readout.output.bias


def test_dropout_drops_maxout_units_only_in_training() -> None:
    readout, inputs = make_readout(dropout=0.5), tuple(leaf(53, 59, size) for size in SIZES)
    readout.eval()
    whole = readout(*inputs).features
    assert torch.equal(whole, readout(*inputs).features)
    readout.train()
    dropped = readout(*inputs).features
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 2 * whole[kept], rtol=1e-13, atol=1e-13)
    # 34,397 units: five standard deviations of the share are 0.0135
    assert abs(kept.double().mean().item() - 0.5) < 0.0135


def test_forward_changes_nothing_on_the_module() -> None:
    readout, inputs = make_readout(0.5), tuple(leaf(2, 3, size) for size in SIZES)
    with unchanged(readout):
        readout(*inputs).logits().sum().backward(inputs=list(inputs))


def test_bfloat16_autocast_stays_near_float32() -> None:
    readout, inputs = make_readout().float(), tuple(torch.randn(2, 3, size) for size in SIZES)
    exact = readout(*inputs).logits()
    with torch.autocast("cpu", torch.bfloat16):
        near = readout(*inputs).logits()
    assert (near.float() - exact).norm() < 2e-2 * exact.norm()
    assert not torch.equal(near.float(), exact)  # it did run in bfloat16
