from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from saccade.core.state import Constant, map_state, select


class Inner(NamedTuple):
    memory: Tensor
    usage: Tensor


class Outer(NamedTuple):
    keys: Constant
    inner: Inner
    nothing: tuple[()]
    mask: Tensor | None


def make_state() -> Outer:
    prepared = (torch.arange(5.0)[:, None].expand(5, 3), None)
    return Outer(Constant(prepared), Inner(torch.randn(5, 2, 7), torch.arange(5)), (), None)


def test_map_state_reaches_every_tensor_and_keeps_every_type() -> None:
    state = make_state()
    mapped = map_state(lambda tensor: tensor + 1, state)
    assert type(mapped) is Outer
    assert type(mapped.keys) is Constant
    assert type(mapped.inner) is Inner
    assert type(mapped.keys.value) is tuple
    assert torch.equal(mapped.keys.value[0], state.keys.value[0] + 1)
    assert torch.equal(mapped.inner.memory, state.inner.memory + 1)
    assert torch.equal(mapped.inner.usage, state.inner.usage + 1)
    assert mapped.keys.value[1] is None
    assert mapped.nothing == ()
    assert mapped.mask is None


def test_a_bare_tensor_is_a_state() -> None:
    assert torch.equal(map_state(torch.neg, torch.arange(3)), -torch.arange(3))


def test_constants_may_have_a_separate_function() -> None:
    state = make_state()
    mapped = map_state(lambda tensor: tensor + 1, state, lambda tensor: tensor - 1)
    assert type(mapped.keys) is Constant
    assert torch.equal(mapped.keys.value[0], state.keys.value[0] - 1)
    assert torch.equal(mapped.inner.usage, state.inner.usage + 1)


def test_select_takes_rows_in_order_with_repeats() -> None:
    state, rows = make_state(), torch.tensor([4, 0, 0, 2])
    chosen = select(state, rows)
    assert torch.equal(chosen.inner.memory, torch.stack([state.inner.memory[row] for row in (4, 0, 0, 2)]))
    assert chosen.inner.usage.tolist() == [4, 0, 0, 2]
    assert chosen.keys.value[0] is state.keys.value[0]
    sentences = torch.tensor([3, 1])
    assert select(state, rows, sentences).keys.value[0][:, 0].tolist() == [3, 1]


def test_select_of_no_rows_leaves_an_empty_batch() -> None:
    assert select(make_state(), torch.tensor([], dtype=torch.long)).inner.memory.shape == (0, 2, 7)


def test_a_constant_is_spread_over_the_hypotheses_of_its_sentence() -> None:
    constant = Constant((torch.tensor([4.0, 7.0]), None))
    assert constant.spread(6)[0].tolist() == [4, 4, 4, 7, 7, 7]
    assert constant.spread(6) is constant.spread(6)  # not copied at every step of a search
    assert constant.spread(2)[0] is constant.value[0]
    assert constant.spread(4)[0].tolist() == [4, 4, 7, 7]


def test_a_constant_is_spread_again_only_if_sentences_are_dropped() -> None:
    state = (Constant(torch.tensor([4.0, 7.0])), torch.arange(4))
    spread = state[0].spread(4)
    reordered = select(state, torch.tensor([1, 0, 2, 2]))
    assert reordered[0].spread(4) is spread
    fewer = select(state, torch.tensor([2, 3]), torch.tensor([1]))
    assert fewer[0].spread(2).tolist() == [7, 7]


def test_select_is_differentiable() -> None:
    memory = torch.randn(3, 5, requires_grad=True)
    (slope,) = torch.autograd.grad(select((memory,), torch.tensor([2, 2, 0]))[0].sum(), memory)
    assert slope[:, 0].tolist() == [1.0, 0.0, 2.0]


@pytest.mark.parametrize("part", [[torch.zeros(2)], {"memory": torch.zeros(2)}, 3.0, "memory"])
def test_a_state_of_anything_else_raises_and_names_it(part: object) -> None:
    with pytest.raises(TypeError, match=f"a state holds tensors, tuples and None, not {type(part).__name__}"):
        map_state(lambda tensor: tensor, (torch.zeros(2), part))
