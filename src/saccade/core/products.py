"""Matrix products with weights, computed by the faster of torch's two float32 libraries.

torch multiplies float32 matrices with MKL, which uses at most AVX2 on processors that are not Intel's. oneDNN, which
torch uses for bfloat16, also multiplies float32, with AVX-512. On AMD processors since Zen 5, whose AVX-512 is twice as
wide as AVX2, its products are about twice as fast. Everywhere else this is `F.linear`.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

WORTH = 1 << 22  # multiplications above which oneDNN saves more than it costs to call
ZEN_5 = 26  # AMD's processor family


class Products(NamedTuple):
    """The two products that a recurrent cell computes. A cell's attribute `products` holds them, so they can be
    replaced."""

    linear: Callable[..., Tensor]
    """(inputs, weight, bias=None) -> inputs weight^T + bias, as `torch.nn.functional.linear`."""
    add: Callable[[Tensor, Tensor, Tensor], Tensor]
    """(sums, inputs, weight) -> sums + inputs weight; with a leading axis, one product for each of several nets."""


def add_product(sums: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """sums + inputs weight, by torch."""
    return torch.addmm(sums, inputs, weight) if inputs.ndim == 2 else torch.baddbmm(sums, inputs, weight)


TORCH = Products(F.linear, add_product)


def install(model: nn.Module) -> None:
    """Make a model's layers and recurrent cells multiply with `linear`, if that is faster on this processor.

    The weights and their names are unchanged, and so are the results, up to rounding.
    """
    if not onednn_is_faster():
        return
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
        elif isinstance(getattr(module, "products", None), Products):
            module.products = Products(linear, add_each)  # type: ignore[assignment]


def linear(
    inputs: Float[Tensor, "*b i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "*b o"]:
    """inputs weight^T + bias, as `torch.nn.functional.linear`."""
    if not by_onednn(inputs, weight, bias):
        return F.linear(inputs, weight, bias)
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (inputs, weight, bias)):
        return _Linear.apply(inputs, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    return _multiply(inputs, weight, bias)


def add_linear(
    sums: Float[Tensor, "n o"], inputs: Float[Tensor, "n i"], weight: Float[Tensor, "o i"]
) -> Float[Tensor, "n o"]:
    """sums + inputs weight^T, as `torch.addmm`."""
    if sums.dtype == inputs.dtype and by_onednn(inputs, weight):
        return linear(inputs, weight).add_(sums)
    return torch.addmm(sums, inputs, weight.mT)


def add_each(sums: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """sums + inputs weight, for each net if there are several."""
    if inputs.ndim == 2:
        return add_linear(sums, inputs, weight.mT)
    if len(inputs) and by_onednn(inputs[0], weight[0].mT):
        return torch.stack([add_linear(s, i, w.mT) for s, i, w in zip(sums, inputs, weight, strict=True)])
    return torch.baddbmm(sums, inputs, weight)


class Linear(nn.Linear):
    """`torch.nn.Linear`, computed by `linear`."""

    def forward(self, inputs: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        return linear(inputs, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        of_inputs, of_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(inputs if of_weight else None, weight if of_inputs else None)
        return _multiply(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        of_inputs, of_weight, of_bias = ctx.needs_input_grad
        rows = slope.reshape(-1, slope.shape[-1])
        return (
            linear(slope, weight.mT) if of_inputs else None,
            # contiguous, as torch's own gradients are: not every consumer checks the strides
            over_rows(rows, inputs.reshape(-1, inputs.shape[-1])).contiguous() if of_weight else None,
            rows.sum(0) if of_bias else None,
        )


def over_rows(left: Float[Tensor, "n o"], right: Float[Tensor, "n i"]) -> Float[Tensor, "o i"]:
    """left^T right, summed over the rows: the gradient of a weight."""
    whole = len(left) - len(left) % _grain(len(left))
    learned = torch.is_grad_enabled() and (left.requires_grad or right.requires_grad)
    if learned or not by_onednn(left[:whole].mT, right[:whole].mT):
        return left.mT @ right
    # oneDNN copies the transpose of the first factor, so that should be the smaller one
    if left.shape[1] <= right.shape[1]:
        products = _product(left[:whole].mT, right[:whole].mT, None)
    else:
        products = _product(right[:whole].mT, left[:whole].mT, None).mT
    return products if whole == len(left) else products.addmm_(left[whole:].mT, right[whole:])


def _multiply(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The product with rows of zeros appended, so that the number of rows takes only a few values."""
    rows = inputs.reshape(-1, inputs.shape[-1])
    missing = -len(rows) % _grain(len(rows))
    if missing:
        rows = torch.cat([rows, rows.new_zeros(missing, rows.shape[1])])
    products = _product(rows, weight, bias)
    # not a view, which autograd would not let us change in place
    return products if products.shape[:-1] == inputs.shape[:-1] else products.resize_(*inputs.shape[:-1], len(weight))


def _grain(count: int) -> int:
    """oneDNN compiles and caches code for each number of rows, so all are rounded up to multiples of this."""
    return 1 << max(0, count.bit_length() - 5)


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    # oneDNN multiplies a slice of a matrix with plain loops
    dense = weight.is_contiguous() or weight.mT.is_contiguous()
    return _onednn(rows, weight if dense else weight.contiguous(), None if bias is None else bias.contiguous())


def _onednn(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    products: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return products


def by_onednn(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether to use oneDNN: a large float32 product on such a processor, in eager mode, seen only by autograd.

    `torch.backends.mkldnn.flags(enabled=False)` forbids it.
    """
    given = [x for x in (inputs, weight, bias) if x is not None]
    return (
        not torch.compiler.is_compiling()  # first, since comparing sizes would make them static
        and torch._C._get_tracing_state() is None
        and all(type(x) in (Tensor, nn.Parameter) and x.layout == torch.strided and not x.is_nested for x in given)
        and inputs.numel() * len(weight) >= WORTH
        and all(x.dtype == torch.float32 and x.device.type == "cpu" for x in given)
        and inputs.shape[-1:] == weight.shape[1:]  # `F.linear` raises the error for sizes that do not match
        and (bias is None or bias.shape == weight.shape[:1])
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
        and torch.autograd.forward_ad._current_level < 0
        and torch._C._get_mkldnn_enabled()
        and onednn_is_faster()
    )


@functools.cache
def onednn_is_faster(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether oneDNN multiplies float32 matrices faster on this processor: AMD's with AVX-512, since Zen 5."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return (
        facts.get("vendor_id") == "AuthenticAMD"
        and int(facts.get("cpu family", "0")) >= ZEN_5
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
