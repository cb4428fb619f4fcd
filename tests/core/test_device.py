from typing import Any, NamedTuple

import torch
from torch import Tensor

from saccade.core.device import to_device


class Inner(NamedTuple):
    lengths: Tensor
    name: str


class Batch(NamedTuple):
    images: Tensor
    state: Any
    inner: Inner


def test_nested_tensors_are_moved_and_other_values_unchanged() -> None:
    batch = Batch(torch.ones(2), (torch.ones(3), None, [torch.ones(1)]), Inner(torch.ones(5), "one"))
    moved = to_device(batch, torch.device("meta"))
    assert isinstance(moved, Batch)
    assert isinstance(moved.inner, Inner)
    assert moved.images.device.type == moved.state[0].device.type == moved.inner.lengths.device.type == "meta"
    assert moved.state[1] is None
    assert isinstance(moved.state[2], list)
    assert moved.state[2][0].is_meta
    assert moved.inner.name == "one"
    assert to_device({"a": torch.ones(1), "b": 3}, torch.device("meta"))["a"].is_meta
    assert to_device("text", torch.device("meta")) == "text"
