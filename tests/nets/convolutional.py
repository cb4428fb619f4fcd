"""Weights by the names that other libraries gave them, the operations of slow twins, and checks for all networks."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from saccade.explain.cam import grad_cam
from saccade.nets.published import adopt

FOLDER = Path(__file__).parent / "published"
Weights = dict[str, Tensor]


def listed(name: str) -> dict[str, tuple[int, ...]]:
    """The shapes of a library's weights, by name."""
    lines = [line.split() for line in (FOLDER / f"{name}.txt").read_text().splitlines() if line[0] != "#"]
    return {name: tuple(map(int, shape)) for name, *shape in lines}


def drawn(shapes: Mapping[str, Sequence[int]], scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Weights:
    """Random weights that neither grow nor shrink what passes through them much; norms multiply by about `scale`."""
    weights = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            continue
        if len(shape) > 1:
            fan = torch.Size(shape[1:]).numel()
            weights[name] = torch.randn(*shape, dtype=dtype) * (2 / fan) ** 0.5
        elif name.endswith(("bias", "mean")):
            weights[name] = torch.randn(*shape, dtype=dtype) / 10
        else:
            weights[name] = (torch.rand(*shape, dtype=dtype) + 0.5) * (scale if name.endswith("weight") else 1)
    return weights


def norm(maps: Tensor, weights: Weights, name: str, epsilon: float = 1e-5, training: bool = False) -> Tensor:
    """Batch norm, by hand."""
    mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    if training:
        mean = maps.mean((0, 2, 3))
        variance = (maps - mean[:, None, None]).square().mean((0, 2, 3))
    scaled = (maps - mean[:, None, None]) / (variance + epsilon).sqrt()[:, None, None]
    return weights[f"{name}.weight"][:, None, None] * scaled + weights[f"{name}.bias"][:, None, None]


def means(maps: Tensor) -> Tensor:
    return maps.flatten(2).sum(2) / (maps.shape[2] * maps.shape[3])


def check_twins(
    network: nn.Module,
    twin: Callable[[Weights, Tensor], Tensor],
    weights: Weights,
    tables: Sequence[Sequence[tuple[str, str]]],
    images: Tensor,
) -> None:
    """The same logits and gradients as the slow twin on the same weights, in float64 and, less near, in float32."""
    network.double().eval()
    assert adopt(network, weights, tables) == []
    images = images.double().requires_grad_()
    ours, theirs = network(images), twin(weights, images)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    direction = torch.randn_like(ours)
    (our_slope,) = torch.autograd.grad(ours, images, direction)
    (their_slope,) = torch.autograd.grad(theirs, images, direction)
    torch.testing.assert_close(our_slope, their_slope, rtol=1e-8, atol=1e-10 * float(their_slope.abs().max()))
    near = 1e-5 * float(theirs.detach().abs().max())
    torch.testing.assert_close(network.float()(images.float()).double(), theirs, rtol=1e-5, atol=near)


def check_learns(network: nn.Module, images: Tensor, classes: int) -> None:
    """Logits of the right shape; in training every weight has a finite gradient, which may be zero only in gates, whose
    few hidden units may all be zero."""
    network.train()
    logits = network(images)
    assert logits.shape == (len(images), classes)
    logits.square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any() or "gate." in name or "between" in name, name


def check_heat(network: nn.Module, images: Tensor, layer: str, grid: tuple[int, int]) -> None:
    """Grad-CAM finds the last maps by itself."""
    found = grad_cam(network, images)
    assert found.layer == layer
    assert found.maps.shape[-2:] == grid
