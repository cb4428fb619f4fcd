"""What stands on the meta device for kernels that torch replaces there, or that do not know it.

The fused attention kernel keeps queries, keys, values, contexts and one number a query (Dao et al. 2022,
arXiv:2205.14135). On the meta device torch replaces it by plain operations, which keep all weights, so here a rule
stands for it; a CPU with attention dropout does compute by plain operations.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class Kernels(TorchFunctionMode):
    """Replaces the fused attention by its rule, and casts what autocast would cast, which knows no meta device."""

    def __init__(self, tracker: Any, narrow: bool, fused: bool) -> None:
        super().__init__()
        self.tracker, self.narrow, self.fused = tracker, narrow, fused
        self.casts: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if self.narrow and func in NARROW:
            args = tuple(self.cast(each) if isinstance(each, Tensor) else each for each in args)
        if func is F.scaled_dot_product_attention and self.fused:
            return Fused.apply(*args[:3], self.tracker)  # type: ignore[no-untyped-call]
        if self.narrow and func is F.layer_norm:
            args = (args[0].float(), *args[1:])
        return func(*args, **named)

    def cast(self, tensor: Tensor) -> Tensor:
        if tensor.dtype != torch.float32:
            return tensor
        if not isinstance(tensor, nn.Parameter):
            return tensor.bfloat16()
        if id(tensor) not in self.casts:  # autocast keeps a copy of each weight for the forward pass
            self.casts[id(tensor)] = tensor.bfloat16()
        return self.casts[id(tensor)]


NARROW = {F.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, F.scaled_dot_product_attention}


class Fused(torch.autograd.Function):
    """The sizes of fused attention. The backward kernel computes the scores again; that is not counted, as it is not in
    the products of plain attention."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, values: Tensor, tracker: Any) -> Tensor:
        b, h, q, d = query.shape
        ctx.tracker, ctx.flops = tracker, 2 * b * h * q * keys.shape[2] * (d + values.shape[3])
        tracker.flops += ctx.flops
        tracker.attention += ctx.flops
        contexts = query.new_empty(b, q, h, values.shape[3]).transpose(1, 2)
        ctx.save_for_backward(query, keys, values, contexts, query.new_empty(b, h, q, dtype=torch.float32))
        return contexts

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        ctx.tracker.flops += 2 * ctx.flops
        ctx.tracker.attention += 2 * ctx.flops
        return *(each.new_empty(each.transpose(1, 2).shape).transpose(1, 2) for each in ctx.saved_tensors[:3]), None


class Again(torch.autograd.Function):
    """A module that is computed again in the backward pass; torch's checkpoints do not know the meta device."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, forward: Callable[..., Tensor], rest: Any, kernels: Kernels) -> Tensor:
        ctx.forward, ctx.rest, ctx.kernels = forward, rest, kernels
        ctx.save_for_backward(inputs)
        return forward(inputs, *rest)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        inputs = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad(), ctx.kernels:  # they do not reach into a backward pass by themselves
            outputs = ctx.forward(inputs, *ctx.rest)
        torch.autograd.backward(outputs, slope)
        return inputs.grad, None, None, None


def recomputed(module: nn.Module, kernels: Kernels) -> Callable[[], None]:
    """Replace a module's forward; returns what restores it."""
    forward = module.forward
    module.forward = lambda inputs, *rest: Again.apply(inputs, forward, rest, kernels)  # type: ignore[no-untyped-call]
    return lambda: delattr(module, "forward")
