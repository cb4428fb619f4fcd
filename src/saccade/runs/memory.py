"""Estimate whether a model fits into memory, before it is built."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from saccade.core.device import pick_device
from saccade.core.errors import InvalidInput
from saccade.training.config import SGD, RunConfig, TrainingConfig

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # memory limit of a container
STATES = {"adam": 2, "adadelta": 2, "rmsprop": 2, "sgd": 1}  # numbers that each optimizer keeps per weight
FILLS = {"normal_", "uniform_", "trunc_normal_", "constant_", "fill_", "zero_", "copy_", "eye_", "mul_", "erfinv_"}


class Sizes(TorchFunctionMode):
    """New tensors have a size but no data, so initialisers do nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if getattr(func, "__name__", "") in FILLS:
            return args[0] if args else named["tensor"]
        if func is torch.zeros_like:  # the first initialiser called on such a tensor would import hundreds of modules
            func = torch.empty_like
        return func(*args, **named)


def sized(build: Callable[[], nn.Module]) -> nn.Module:
    """The model with its weights on the meta device, which takes no memory and draws no random numbers."""
    with torch.device("meta"), Sizes():
        return build()


def check_fits(build: Callable[[], nn.Module], config: RunConfig, kept: float = 1.0, processes: int = 1) -> None:
    """Check that a model fits into the memory of its device, and of this machine, where it is built.

    Args:
        build: builds the model; a model whose sizes depend on values cannot be estimated.
        config: the device and the precision.
        kept: numbers kept per weight.
        processes: number of processes on this machine that do the same.

    Raises:
        InvalidInput: with the memory needed and the memory there is.
    """
    try:
        model = sized(build)
    except (RuntimeError, NotImplementedError):
        return
    device, size = pick_device(config.device), 8 if config.precision == "float64" else 4
    count = sum(weight.numel() for weight in model.parameters())
    others = sum(buffer.numel() for buffer in model.buffers())
    for place, times in ((device, kept), (torch.device("cpu"), 1.0)):
        needed, there = size * (count * times + others) * (processes if place.type == "cpu" else 1), memory(place)
        if needed > there:
            raise InvalidInput(
                f"the model has {count:,} weights, which take at least {needed / 1e9:,.2f} GB; this machine's "
                f"{place.type} has {there / 1e9:,.2f} GB of memory; choose smaller sizes"
            )


def numbers_kept(config: RunConfig, processes: int = 1) -> float:
    """Numbers that training keeps per weight: the weight, its gradient, and the optimizer's state."""
    if not isinstance(config, TrainingConfig):
        return 1.0
    rule = config.optimizer
    states = 0 if isinstance(rule, SGD) and not rule.momentum else STATES[rule.name]
    return (2 + states + (config.ema is not None)) / (processes if config.strategy == "fsdp2" else config.tensor)


def memory(device: torch.device) -> float:
    """Bytes of memory of a device; for the CPU that of the machine or the container. Infinite if unknown."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):  # not on Windows
        found = []
    for path in map(Path, LIMITS):
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # no limit, or "max"
            continue
    return float(min((size for size in found if size > 0), default=float("inf")))
