"""The device, precision and threads that a model runs with, and the memory it takes."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from saccade.core.errors import InvalidInput


def pick_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one.

    Raises:
        InvalidInput: a name that torch does not know, or a device that this machine does not have.
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


def to_device(batch: Any, device: torch.device, dtype: torch.dtype | None = None) -> Any:
    """Move the tensors of a batch to the device, including those in tuples, lists and dicts.

    Args:
        dtype: for its floating-point tensors; by default unchanged.
    """

    def moved(part: Any) -> Any:
        if not isinstance(part, Tensor):
            return part
        return part.to(device, dtype if part.is_floating_point() else None, non_blocking=True)

    return batch if device.type == "cpu" and dtype is None else tree_map(moved, batch)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Set the number of threads of an operation on the CPU within the block; None: unchanged."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_memory(device: torch.device) -> float | None:
    """Peak memory so far, in megabytes: of tensors on a GPU, else of this process; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1e6 if sys.platform == "darwin" else largest * 1024 / 1e6


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 is autocast over float32 weights; in float64, new tensors are float64 too."""
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return default_dtype(torch.float64) if precision == "float64" else nullcontext()


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; each module's mode is restored afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
