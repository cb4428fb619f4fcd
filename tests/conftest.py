"""What every test starts from: one thread, one seed, and memory that is poisoned until it is written."""

from collections.abc import Iterator

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("saccade", max_examples=30, deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("saccade")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """`torch.empty` and its kin hold NaN or the largest integer, so that nothing unwritten passes for a zero."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)
