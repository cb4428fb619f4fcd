"""What every gate on feature maps must do, whatever its equation."""

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from saccade.explain import capture


def check_odd_sizes(gate: nn.Module, channels: int) -> None:
    """One image, maps of one pixel, one row or one column: finite outputs and gradients, as those of the batch."""
    gate.double().eval()
    for height, width in itertools.product((1, 2, 5), (1, 3)):
        maps = torch.randn(3, channels, height, width, dtype=torch.float64, requires_grad=True)
        gated = gate(maps)
        assert gated.shape == maps.shape
        (slope,) = torch.autograd.grad(gated.square().sum(), maps)
        assert gated.isfinite().all()
        assert slope.isfinite().all()
        torch.testing.assert_close(gate(maps[:1]), gated[:1])
    assert gate(torch.randn(0, channels, 2, 3, dtype=torch.float64)).shape == (0, channels, 2, 3)


def check_bfloat16(gate: nn.Module, channels: int) -> None:
    """Under autocast, outputs close to those in float32, and finite gradients."""
    gate.float().eval()
    maps = torch.randn(2, channels, 5, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        gated = gate(maps)
    torch.testing.assert_close(gated.float(), gate(maps), rtol=0.05, atol=0.05)
    (slope,) = torch.autograd.grad(gated.float().square().sum(), maps)
    assert slope.isfinite().all()


def check_huge(gate: nn.Module, channels: int) -> None:
    """Maps as large as float32 allows in a mean: never NaN."""
    gate.float().eval()
    for size in (1e30, -1e30):
        maps = torch.full((2, channels, 3, 2), size, requires_grad=True)
        gated = gate(maps)
        (slope,) = torch.autograd.grad(gated.sum(), maps)
        assert gated.isfinite().all()
        assert not slope.isnan().any()


def check_compiled(gate: nn.Module, channels: int) -> None:
    """One graph without breaks, and the same outputs."""
    gate.double().eval()
    maps = torch.randn(2, channels, 5, 3, dtype=torch.float64)
    torch.compiler.reset()
    compiled: Any = torch.compile(gate, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(maps), gate(maps))


def heard(gate: nn.Module, maps: Tensor) -> dict[str, Tensor]:
    """What its taps tell of one call, by name; the output does not change."""
    before = gate(maps)
    with capture(gate) as seen:
        torch.testing.assert_close(gate(maps), before, rtol=0, atol=0)
    assert not any("tap" in name for name in gate.state_dict())
    return {name: tensors[0] for name, tensors in seen.items()}
