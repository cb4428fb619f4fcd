"""When a backward pass written by hand may stand in for autograd's, and whether anyone listens to it."""

import torch
from torch import nn

from saccade.core.tap import Tap


def own_backward() -> bool:
    """Whether only eager autograd reads along: no compiler, no `torch.func`, no forward-mode derivative."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
    )


def taps_of(module: nn.Module) -> list[Tap]:
    """The taps of a module's own, not those of its parts."""
    return [child for child in module.children() if isinstance(child, Tap)]


def heard(module: nn.Module) -> bool:
    """Whether any of its taps is listened to: only then is anything prepared for them."""
    return any(tap.listener is not None or tap.reached is not None for tap in taps_of(module))
