import math

import pytest
import torch

from saccade.attention import LearnedPositions, SinusoidalPositions
from saccade.attention.positions import sinusoid
from saccade.core.errors import InvalidInput
from tests.checks import leaf, unchanged


@pytest.mark.parametrize("size", [1, 6, 7])
def test_sines_and_cosines_alternate(size: int) -> None:
    found = sinusoid(torch.arange(11, dtype=torch.float64), size)
    for position in range(11):
        for feature in range(size):
            angle = position / 10_000 ** (2 * (feature // 2) / size)
            expected = math.cos(angle) if feature % 2 else math.sin(angle)
            assert math.isclose(float(found[position, feature]), expected, abs_tol=1e-14)


def test_a_shift_rotates_each_pair() -> None:
    """PE(p + n) = R(n) PE(p), where R depends only on n."""
    positions, n, size = torch.arange(5, dtype=torch.float64), 13, 8
    pairs, shifted = (sinusoid(p, size).unflatten(1, (-1, 2)) for p in (positions, positions + n))
    angles = n * 10_000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    sine, cosine = pairs.unbind(-1)
    turned = torch.stack([sine * angles.cos() + cosine * angles.sin(), cosine * angles.cos() - sine * angles.sin()], -1)
    torch.testing.assert_close(turned, shifted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("learned", [False, True])
def test_parts_of_a_sequence_equal_the_whole(learned: bool, dtype: torch.dtype) -> None:
    positions = (LearnedPositions(7, 11) if learned else SinusoidalPositions(7)).to(dtype)
    inputs = leaf(2, 11, 7, dtype=dtype)
    with unchanged(positions):
        whole = positions(inputs)
        assert torch.equal(torch.cat([positions(inputs[:, :5]), positions(inputs[:, 5:], 5)], 1), whole)
    assert whole.dtype == dtype


def test_late_positions_are_precise() -> None:
    late = SinusoidalPositions(4)(torch.zeros(1, 1, 4), 1_000_003)
    exact = [math.sin(1_000_003), math.cos(1_000_003), math.sin(10_000.03), math.cos(10_000.03)]
    torch.testing.assert_close(late.flatten(), torch.tensor(exact))


def test_learned_positions_are_learned() -> None:
    positions = LearnedPositions(7, 11)
    positions(torch.zeros(2, 3, 7), 2).sum().backward()
    assert positions.table.grad is not None
    assert positions.table.grad.any(1).tolist() == [2 <= row < 5 for row in range(11)]


def test_a_sequence_beyond_the_learned_positions_is_refused() -> None:
    positions = LearnedPositions(7, 11)
    with pytest.raises(InvalidInput, match="a sequence of 12 symbols is longer than the 11 positions"):
        positions(torch.zeros(1, 2, 7), 10)
