"""The device and precision that a model runs in, and the memory that it takes."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput


def pick_device(name: str) -> torch.device:
    """The device with this name; "auto" selects a GPU if there is one.

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
    """The batch with its tensors on the device: a tensor, or arbitrarily nested tuples, lists and dictionaries of
    tensors. Other values are unchanged.

    Args:
        dtype: new dtype of the floating-point tensors; None leaves them unchanged.
    """
    if isinstance(batch, Tensor):
        return batch.to(device, dtype if batch.is_floating_point() else None, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(part, device, dtype) for key, part in batch.items()}
    if isinstance(batch, tuple | list):
        parts = [to_device(part, device, dtype) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Set the number of threads that a CPU operation uses within the block; None leaves it unchanged."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_memory(device: torch.device) -> float | None:
    """Peak memory so far in megabytes: of tensors on a GPU, else of this process; None: unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1e6 if sys.platform == "darwin" else largest * 1024 / 1e6


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 is autocast over float32 weights; in float64 new tensors have the precision of the weights."""
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
    """Put the model in evaluation mode and disable gradients; afterwards restore the mode of each module."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
