import hypothesis
import torch
from hypothesis import strategies as st
from torch import Tensor

from saccade.core.growing import ROOM, Growing
from saccade.core.state import Constant, map_state, select, tensors


def part(size: int) -> Tensor:
    return torch.randn(2, 3, size, 4)


@hypothesis.given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 5)), max_size=40), st.integers(0, 2))
def test_growing_from_any_tensor_equals_concatenation(steps: list[tuple[int, int]], size: int) -> None:
    """Also if two grow from the same tensor, and after either has grown further."""
    grown = [Growing(part(size), 2)]
    joined = [grown[0].tensor.clone()]
    for origin, more in steps:
        origin %= len(grown)
        new = part(more)
        grown.append(grown[origin].extended(new))
        joined.append(torch.cat([joined[origin], new], 2))
    for one, other in zip(grown, joined, strict=True):
        assert torch.equal(one.tensor, other)


def test_spare_room_is_used_before_the_buffer_is_copied() -> None:
    grown, places = Growing(part(1), 2), set()
    for _ in range(200):
        grown = grown.extended(part(1))
        places.add(grown.tensor.data_ptr())
        grown = select(Constant(grown), torch.arange(2)).value  # keeps all rows
    assert len(places) <= 6  # 16, 34, 70, 142, ... positions
    assert ROOM == 16


def test_all_parts_get_a_gradient() -> None:
    parts = [part(2).requires_grad_() for _ in range(3)]
    grown = Growing(parts[0], 2).extended(parts[1]).extended(parts[2])
    grown.tensor.square().sum().backward()
    for each in parts:
        torch.testing.assert_close(each.grad, 2 * each)


def test_a_wider_type_is_kept() -> None:
    grown = Growing(part(2).bfloat16(), 2).extended(part(1).double())
    assert grown.tensor.dtype == torch.float64


def test_it_is_part_of_a_state() -> None:
    grown = Growing(part(2), 2).extended(part(1))
    state = (torch.arange(2), grown)
    assert next(iter(tensors((grown,)))) is grown.tensor
    chosen = select(state, torch.tensor([1, 1, 0]))
    assert torch.equal(chosen[1].tensor, grown.tensor[[1, 1, 0]])
    longer = chosen[1].extended(torch.ones(3, 3, 1, 4))
    assert longer.tensor.shape == (3, 3, 4, 4)
    assert torch.equal(map_state(torch.neg, state)[1].tensor, -grown.tensor)
