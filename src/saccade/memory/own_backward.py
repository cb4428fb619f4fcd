"""When a backward pass written by hand may stand in for autograd's."""

import torch


def own_backward() -> bool:
    """Whether only eager autograd reads along: no compiler, no `torch.func`, no forward-mode derivative."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
    )
