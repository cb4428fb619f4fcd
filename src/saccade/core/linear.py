"""Products with weights, by the faster of the two libraries that torch brings for float32.

torch multiplies float32 matrices with MKL, which on a processor that is not Intel's goes no further than AVX2. oneDNN,
which torch takes for bfloat16, knows AVX-512, and multiplies float32 too, in float32. Where AVX-512 is twice as wide as
AVX2, on AMD's since Zen 5, so are the products nearly twice as fast. Everywhere else this is `F.linear`.
"""

import functools
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

WORTH = 1 << 22  # multiplications from which the way to oneDNN is shorter than what it saves
ZEN_5 = 26  # AMD's processor family


def linear(
    inputs: Float[Tensor, "*b i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "*b o"]:
    """inputs weight^T + bias, as `torch.nn.functional.linear`."""
    if not by_onednn(inputs, weight, bias):
        return F.linear(inputs, weight, bias)
    rows = inputs.reshape(-1, inputs.shape[-1])
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (inputs, weight, bias)):
        products: Tensor = _Linear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    else:
        products = _multiply(rows, weight, bias)
    return products.view(*inputs.shape[:-1], len(weight))


class Linear(nn.Linear):
    """`torch.nn.Linear`, by `linear`."""

    def forward(self, inputs: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        return linear(inputs, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return _multiply(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            linear(slope, weight.mT) if wanted[0] else None,
            linear(slope.mT, inputs.mT) if wanted[1] else None,
            slope.sum(0) if wanted[2] else None,
        )


def _multiply(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    products: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return products


def by_onednn(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether this product is float32, large, on such a processor, and for eager torch and its autograd alone."""
    given = [x for x in (inputs, weight, bias) if x is not None]
    return (
        inputs.numel() * len(weight) >= WORTH
        and all(x.dtype == torch.float32 and x.device.type == "cpu" for x in given)
        and inputs.shape[-1:] == weight.shape[1:]  # what does not fit is for `F.linear` to refuse
        and (bias is None or bias.shape == weight.shape[:1])
        and all(type(x) in (Tensor, nn.Parameter) for x in given)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and torch.autograd.forward_ad._current_level < 0
        and onednn_is_faster()
    )


@functools.cache
def onednn_is_faster(told: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor multiplies float32 matrices faster by oneDNN: AMD's with AVX-512, from Zen 5 on."""
    try:
        lines = told.read_text().splitlines()
    except OSError:
        return False
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return (
        facts.get("vendor_id") == "AuthenticAMD"
        and int(facts["cpu family"]) >= ZEN_5
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
