"""Where and in what precision a model runs, and how much memory it takes there."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from saccade.core.errors import InvalidInput


def pick_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU where there is one.

    Raises:
        InvalidInput: a name that torch does not know, or a device that this machine lacks.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidInput(f"there is no device {name!r}; there are auto, cpu, cuda, cuda:1, ...") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise InvalidInput(f"there is no device {name!r}; there are auto, cpu, cuda, cuda:1, ..., mps")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InvalidInput(f"there is no device {name!r} on this machine")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidInput(f"there is no device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch, a NamedTuple, with its tensors on the device."""
    return type(batch)(*(part.to(device, non_blocking=True) if isinstance(part, Tensor) else part for part in batch))


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Within the block so many threads share an operation on the CPU; None: as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_memory(device: torch.device) -> float | None:
    """The most memory so far, in megabytes: of a GPU what tensors took, else all of this process; None: not known."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1e6 if sys.platform == "darwin" else largest * 1024 / 1e6


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 is autocast over float32 weights; the other precisions are those of the weights."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
