"""D1's derivation: step 0 is the GRU to the last digits; each other step contains the one before it."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from saccade.attention import MultiHeadAttention
from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.memory import GRU, GRUState
from saccade.memory.gru_to_attention import (
    FreeCandidates,
    FreeWeights,
    Heads,
    KeysAndValues,
    UnrolledGRU,
    unrolled_weights,
)
from tests.checks import assert_twins, leaf, randomised

BATCH, STEPS, INPUT, HIDDEN = 2, 5, 3, 7
SIZE, HEADS = 12, 3


def slow_unrolled(update: Tensor) -> Tensor:
    """a_0 = prod_j u_j; a_i = (1 - u_i) prod_(j>i) u_j: one number at a time."""
    gates = update.sigmoid()
    batch, steps, size = gates.shape
    weights = torch.zeros(batch, steps, steps + 1, size, dtype=gates.dtype)
    for b in range(batch):
        for c in range(size):
            for t in range(1, steps + 1):
                for i in range(t + 1):
                    weight = 1 - gates[b, i - 1, c] if i else torch.ones((), dtype=gates.dtype)
                    for j in range(i + 1, t + 1):
                        weight = weight * gates[b, j - 1, c]
                    weights[b, t - 1, i, c] = weight
    return weights


def slow_heads(step: Heads, inputs: Tensor) -> Tensor:
    sequences = []
    for sequence in inputs:
        f = [torch.tanh(step.candidate(x)) for x in sequence]
        states = []
        for t, x in enumerate(sequence):
            heads = []
            for rows in torch.arange(HIDDEN if step.heads == 1 else SIZE).chunk(step.heads):
                query = step.query.weight[rows] @ x
                scores = [query @ (step.key.weight[rows] @ f[i]) / math.sqrt(len(rows)) for i in range(t + 1)]
                total = sum(score.exp() for score in scores)
                heads.append(sum(scores[i].exp() / total * (step.value.weight[rows] @ f[i]) for i in range(t + 1)))
            states.append(torch.cat(heads))
        sequences.append(torch.stack(states))
    return torch.stack(sequences)


def same(target: nn.Module, source: nn.Module, **others: Tensor) -> None:
    """Copy the weights that both have; the others are given."""
    own = {name: weight for name, weight in source.state_dict().items() if name in target.state_dict()}
    target.load_state_dict(own | others)


@pytest.mark.parametrize("reset", ["before", "after"])
def test_step_0_is_the_gru_and_its_weights_sum_to_one(reset: Literal["before", "after"]) -> None:
    gru, inputs, hidden = randomised(GRU(INPUT, HIDDEN, reset=reset)), leaf(BATCH, STEPS, INPUT), leaf(BATCH, HIDDEN)
    unrolled, state = UnrolledGRU(gru), GRUState(hidden)
    assert_twins(lambda: unrolled(inputs, state), lambda: gru(inputs, state)[0], [inputs, hidden, *gru.parameters()])
    torch.testing.assert_close(unrolled(inputs), gru(inputs)[0], rtol=1e-12, atol=1e-12)
    with capture(unrolled) as seen:
        unrolled(inputs, state)
    (weights,) = seen["weights"]
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(2), torch.ones_like(weights[:, :, 0]), rtol=0, atol=1e-12)


def test_the_weights_equal_the_corrected_products() -> None:
    update = leaf(BATCH, STEPS, HIDDEN)
    assert_twins(lambda: unrolled_weights(update), lambda: slow_unrolled(update), [update])


def test_shut_and_open_gates_give_no_nan() -> None:
    update = torch.tensor([[[-1e4, 1e4, 0.0]] * 300], requires_grad=True)
    weights = unrolled_weights(update)
    weights.square().sum().backward()
    assert weights.isfinite().all()
    assert update.grad is not None
    assert update.grad.isfinite().all()
    assert torch.equal(weights[0, -1, -1, 0], torch.ones(()))  # a shut gate keeps nothing
    assert torch.equal(weights[0, -1, 0, 1], torch.ones(()))  # an open one keeps h_0


def test_step_1_with_the_logarithms_of_the_weights_as_scores_is_step_0() -> None:
    update, candidates = leaf(BATCH, STEPS, HIDDEN), leaf(BATCH, STEPS + 1, HIDDEN)
    weights = unrolled_weights(update)
    free = weights.log().softmax(2)
    torch.testing.assert_close(free, weights, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((free * candidates[:, None]).sum(2), (weights * candidates[:, None]).sum(2))


def test_step_1_equals_its_slow_twin() -> None:
    step, inputs = randomised(FreeWeights(INPUT, HIDDEN)), leaf(BATCH, STEPS, INPUT)

    def slow() -> Tensor:
        sequences = []
        for sequence in inputs:
            h, found, states = torch.zeros(HIDDEN, dtype=torch.float64), [], []
            for x in sequence:
                found.append(torch.tanh(step.candidate(x) + step.recurrent.weight @ h))
                scores = [step.query.weight @ x @ one / math.sqrt(HIDDEN) for one in found]
                total = sum(score.exp() for score in scores)
                h = sum(score.exp() / total * one for score, one in zip(scores, found, strict=True))
                states.append(h)
            sequences.append(torch.stack(states))
        return torch.stack(sequences)

    assert_twins(lambda: step(inputs), slow, [inputs, *step.parameters()])


def test_step_2_is_step_1_without_recurrent_weights() -> None:
    inputs = leaf(BATCH, STEPS, INPUT)
    one, two = randomised(FreeWeights(INPUT, HIDDEN)), randomised(FreeCandidates(INPUT, HIDDEN))
    same(two, one)
    assert (one(inputs) - two(inputs)).abs().max() > 1e-3
    nn.init.zeros_(one.recurrent.weight)
    assert_twins(lambda: one(inputs), lambda: two(inputs), [inputs])


def test_step_3_with_keys_and_values_as_they_are_is_step_2() -> None:
    inputs, eye = leaf(BATCH, STEPS, INPUT), torch.eye(HIDDEN, dtype=torch.float64)
    two, three = randomised(FreeCandidates(INPUT, HIDDEN)), randomised(KeysAndValues(INPUT, HIDDEN))
    same(three, two, **{"key.weight": eye, "value.weight": eye})
    assert_twins(lambda: two(inputs), lambda: three(inputs), [inputs])


def test_step_4_with_one_head_is_step_3() -> None:
    inputs = leaf(BATCH, STEPS, INPUT)
    three, four = randomised(KeysAndValues(INPUT, HIDDEN)), randomised(Heads(INPUT, HIDDEN, 1))
    same(four, three)
    assert_twins(lambda: three(inputs), lambda: four(inputs), [inputs])
    assert_twins(lambda: three(inputs), lambda: slow_heads(three, inputs), [inputs, *three.parameters()])


def test_step_4_is_causal_multi_head_attention() -> None:
    inputs, four = leaf(BATCH, STEPS, SIZE), randomised(Heads(SIZE, SIZE, HEADS))
    attention = MultiHeadAttention(SIZE, HEADS).double()
    same(attention, four, **{"output.weight": torch.eye(SIZE, dtype=torch.float64)})

    def theirs() -> Tensor:
        return attention(inputs, torch.tanh(four.candidate(inputs)), causal=True)

    assert_twins(lambda: four(inputs), theirs, [inputs, four.candidate.weight])
    assert_twins(lambda: four(inputs), lambda: slow_heads(four, inputs), [inputs, *four.parameters()])


@pytest.mark.unhooked
def test_heads_that_do_not_divide_the_state_raise() -> None:
    with pytest.raises(InvalidInput, match="5 heads do not divide a state of 12"):
        Heads(3, 12, 5)
