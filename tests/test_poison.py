"""A test of the suite itself: uninitialised memory is recognisable."""

import pytest
import torch


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_uninitialised_memory_is_nan(dtype: torch.dtype) -> None:
    there = torch.zeros(3, dtype=dtype)
    for made in (
        torch.empty(3, dtype=dtype),
        torch.empty_like(there),
        there.new_empty(3),
        torch.zeros(1).resize_(3)[1:],
    ):
        assert made.isnan().all()


def test_uninitialised_integers_are_the_largest() -> None:
    assert (torch.empty(3, dtype=torch.long) == torch.iinfo(torch.long).max).all()
