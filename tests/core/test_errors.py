"""What torch, numpy and Python raise when memory runs out is one sentence."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from saccade.core.errors import out_of_memory

ADVICE = "; choose a smaller --training.batch-size, a smaller model or fewer examples"
CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 7.79 GiB"


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (lambda: torch.ones(2**50), "this machine does not have enough memory for another 4,194,304.00 GiB"),
        (lambda: np.ones(2**50), "this machine does not have enough memory for another 8.00 PiB"),
        (lambda: bytearray(2**60), "this machine does not have enough memory"),
    ],
    ids=["torch", "numpy", "python"],
)
def test_memory_that_runs_out_is_one_sentence(fill: Callable[[], object], said: str) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as full:
        fill()
    assert str(out_of_memory(full.value)) == said + ADVICE


def test_the_memory_of_a_gpu_is_another() -> None:
    full = out_of_memory(torch.OutOfMemoryError(CUDA))
    assert str(full) == "the GPU does not have enough memory for another 20.00 GiB" + ADVICE


def test_any_other_error_is_none_of_memory() -> None:
    assert out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
