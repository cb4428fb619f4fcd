import pytest
import torch

from saccade.nets.largest import BLOCK, largest


@pytest.mark.parametrize("width", [5, BLOCK, 2 * BLOCK * 3, 7 * BLOCK + 5, 20 * BLOCK - 1])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_the_largest_of_a_long_row(width: int, count: int) -> None:
    scores = torch.randn(11, width)
    scores[3] = -torch.inf
    scores[3, -1] = scores[5, -1] = 7.0
    values, places = largest(scores, count)
    expected = scores.topk(count, dim=1).values
    assert torch.equal(values, expected)
    assert torch.equal(scores.gather(1, places), expected)
    assert all(len(set(row)) == count for row in places.tolist())
