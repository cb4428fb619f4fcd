"""What every test starts from: one thread, one seed, and memory that is poisoned until it is written."""

from collections.abc import Iterator

import hypothesis
import pytest
import torch
from torch import Tensor

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


@pytest.fixture
def by_onednn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As on a processor where oneDNN is faster, for products of any size; gives the rows of those it made."""
    from saccade.core import linear  # not above: the hook that executes shapes must come before the library

    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        pytest.skip("this build of torch has no oneDNN")
    made: list[int] = []
    onednn = linear._onednn

    def told(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        made.append(rows.shape[0])
        assert weight.is_contiguous() or weight.mT.is_contiguous(), "plain loops"
        return onednn(rows, weight, bias)

    monkeypatch.setattr(linear, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(linear, "WORTH", 1)
    monkeypatch.setattr(linear, "_onednn", told)
    return made
