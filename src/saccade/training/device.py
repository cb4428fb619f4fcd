"""Where and in what precision a model runs."""

from contextlib import AbstractContextManager, nullcontext
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


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 is autocast over float32 weights; the other precisions are those of the weights."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
