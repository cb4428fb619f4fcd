"""Products with weights, by the faster of the two libraries that torch has for float32.

torch multiplies float32 matrices with MKL, which on a processor that is not Intel's goes no further than AVX2. oneDNN,
which torch takes for bfloat16, knows AVX-512, and multiplies float32 too, in float32. Where AVX-512 is twice as wide as
AVX2, on AMD's since Zen 5, the products are about twice as fast. Everywhere else this is `F.linear`.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

WORTH = 1 << 22  # multiplications from which the way to oneDNN is shorter than what it saves
ZEN_5 = 26  # AMD's processor family


class Products(NamedTuple):
    """The two products that a recurrent cell makes. `products` of a cell holds them, so that others can be put in."""

    linear: Callable[..., Tensor]
    """(inputs, weight, bias=None) -> inputs weight^T + bias, as `torch.nn.functional.linear`."""
    add: Callable[[Tensor, Tensor, Tensor], Tensor]
    """(sums, inputs, weight) -> sums + inputs weight; with a leading axis, of each of several nets."""


def add_product(sums: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """sums + inputs weight, by torch."""
    return torch.addmm(sums, inputs, weight) if inputs.ndim == 2 else torch.baddbmm(sums, inputs, weight)


TORCH = Products(F.linear, add_product)


def install(model: nn.Module) -> None:
    """Let the layers and the recurrent cells of a model multiply by `linear`, where that is faster on this processor.

    The weights, their names and the results stay as they are, up to the last digits.
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
    """sums + inputs weight, of each net if there are several."""
    if inputs.ndim == 2:
        return add_linear(sums, inputs, weight.mT)
    if len(inputs) and by_onednn(inputs[0], weight[0].mT):
        return torch.stack([add_linear(s, i, w.mT) for s, i, w in zip(sums, inputs, weight, strict=True)])
    return torch.baddbmm(sums, inputs, weight)


class Linear(nn.Linear):
    """`torch.nn.Linear`, by `linear`."""

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
            # as torch lays a gradient out: not all that take one look at its strides
            over_rows(rows, inputs.reshape(-1, inputs.shape[-1])).contiguous() if of_weight else None,
            rows.sum(0) if of_bias else None,
        )


def over_rows(left: Float[Tensor, "n o"], right: Float[Tensor, "n i"]) -> Float[Tensor, "o i"]:
    """left^T right, the gradient of a weight, whose sums go over the rows."""
    whole = len(left) - len(left) % _grain(len(left))
    learned = torch.is_grad_enabled() and (left.requires_grad or right.requires_grad)
    if learned or not by_onednn(left[:whole].mT, right[:whole].mT):
        return left.mT @ right
    # oneDNN lays the first factor's transpose out anew: the smaller one
    if left.shape[1] <= right.shape[1]:
        products = _product(left[:whole].mT, right[:whole].mT, None)
    else:
        products = _product(right[:whole].mT, left[:whole].mT, None).mT
    return products if whole == len(left) else products.addmm_(left[whole:].mT, right[whole:])


def _multiply(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The product for some rows of zeros more, so that few numbers of rows occur."""
    rows = inputs.reshape(-1, inputs.shape[-1])
    missing = -len(rows) % _grain(len(rows))
    if missing:
        rows = torch.cat([rows, rows.new_zeros(missing, rows.shape[1])])
    products = _product(rows, weight, bias)
    # no view, of which autograd would forbid to change it in place
    return products if products.shape[:-1] == inputs.shape[:-1] else products.resize_(*inputs.shape[:-1], len(weight))


def _grain(count: int) -> int:
    """oneDNN compiles and keeps code for each number of rows: all are multiples of this."""
    return 1 << max(0, count.bit_length() - 5)


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    # for a part of a matrix oneDNN has nothing better than plain loops
    dense = weight.is_contiguous() or weight.mT.is_contiguous()
    return _onednn(rows, weight if dense else weight.contiguous(), None if bias is None else bias.contiguous())


def _onednn(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    products: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return products


def by_onednn(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether this product is float32, large, on such a processor, and for eager torch and its autograd alone.

    `torch.backends.mkldnn.flags(enabled=False)` forbids it.
    """
    given = [x for x in (inputs, weight, bias) if x is not None]
    return (
        not torch.compiler.is_compiling()  # before sizes, which a comparison would make static
        and torch._C._get_tracing_state() is None
        and all(type(x) in (Tensor, nn.Parameter) and x.layout == torch.strided and not x.is_nested for x in given)
        and inputs.numel() * len(weight) >= WORTH
        and all(x.dtype == torch.float32 and x.device.type == "cpu" for x in given)
        and inputs.shape[-1:] == weight.shape[1:]  # what does not fit is for `F.linear` to refuse
        and (bias is None or bias.shape == weight.shape[:1])
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
        and torch.autograd.forward_ad._current_level < 0
        and torch._C._get_mkldnn_enabled()
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
        and int(facts.get("cpu family", "0")) >= ZEN_5
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
