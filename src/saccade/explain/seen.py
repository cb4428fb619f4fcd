"""A forward pass of a classifier, seen at one of its layers, which is left as it was."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn

from saccade.core.errors import InvalidInput, NotFound, nearest
from saccade.core.tap import Tap
from saccade.explain.grids import Grid, grid_of
from saccade.explain.replay import first_of, intercepted, logits_of, with_first

Targets = int | Sequence[int] | Sequence[Sequence[int]] | Int[Tensor, "..."] | None

# not chosen: their outputs are parts of attention, or repeat an input
SKIPPED = (nn.Linear, nn.Identity, nn.Dropout, nn.Dropout2d, nn.Softmax, Tap)


class Seen(NamedTuple):
    """A forward pass, and the layer's output in it."""

    model: nn.Module
    images: Tensor
    layer: str
    module: nn.Module
    output: Tensor
    grid: Grid
    targets: Int[Tensor, "b t"]
    scores: Tensor  # the targets' logits, (b, t), with the graph of gradients where gradients are enabled


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, with gradients of activations alone; restored at the end, even after an exception.

    Weights that were made in inference mode are copied meanwhile, since no gradient passes through operators that use
    them. Compiled modules run as they were written.
    """
    if not isinstance(model, nn.Module):
        raise InvalidInput(f"expected a module, not {type(model).__name__}")
    modes = [(module, module.training) for module in model.modules()]
    own = [(held, name, tensor) for held, name, tensor in _held(model) if tensor.is_inference()]
    needs = [(weight, weight.requires_grad) for weight in model.parameters() if not weight.is_inference()]
    try:
        with torch.inference_mode(False):
            for held, name, tensor in own:
                copy = tensor.clone()
                held[name] = nn.Parameter(copy, False) if isinstance(tensor, nn.Parameter) else copy
        for module, _ in modes:
            module.training = False
        for weight, _ in needs:
            weight.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad(), _uncompiled(), _submodules_called():
            yield
    finally:
        for module, training in modes:
            module.training = training
        for held, name, tensor in own:
            held[name] = tensor
        for weight, needed in needs:
            weight.requires_grad_(needed)


def _uncompiled() -> AbstractContextManager[Any]:
    """Run compiled modules as they were written; does not import the compiler."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def _submodules_called() -> Iterator[None]:
    """Without torch's fast path of `TransformerEncoderLayer`, which computes a layer without calling its parts."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _held(model: nn.Module) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """Each weight and buffer, with the dictionary of its module that holds it."""
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            yield from ((held, name, tensor) for name, tensor in held.items() if isinstance(tensor, Tensor))


def look(
    model: nn.Module,
    images: Tensor,
    targets: Targets,
    layer: str | None,
    outer: Callable[..., Any] | None = None,
) -> Seen:
    """One forward pass whose graph of gradients starts at the layer's output."""
    images = checked(images)
    name = _chosen(model, images[:1]) if layer is None else layer
    module = _module(model, name)
    outputs: list[Tensor] = []

    def around(called: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        output = outer(called, forward, *args, **kwargs) if outer else forward(*args, **kwargs)
        if called is not module:
            return output
        if not isinstance(first_of(output), Tensor):
            raise InvalidInput(f"layer {name!r} returns {type(output).__name__}; choose one that returns a tensor")
        start, given = _start(output)
        outputs.append(start)
        return given

    with intercepted(model, around):
        logits = called_on(model, images)
    if not outputs:
        raise InvalidInput(f"the model does not call layer {name!r}; choose another")
    grid = _grid(module, outputs[-1], images)
    if grid is None:
        shape = tuple(outputs[-1].shape)
        raise InvalidInput(
            f"layer {name!r} has no spatial extent: its output {shape} is no grid over images of "
            f"{images.shape[-2]} x {images.shape[-1]}; choose an earlier one, or none to have one chosen"
        )
    classes = classes_of(targets, logits.detach())
    return Seen(model, images, name, module, outputs[-1], grid, classes, logits.gather(1, classes))


def called_on(model: nn.Module, images: Tensor) -> Tensor:
    """The logits for images.

    Raises:
        InvalidInput: images with another number of channels than the first convolution takes, if the model fails.
    """
    try:
        return logits_of(model(images))
    except (RuntimeError, ValueError) as error:
        first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
        if first is None or first.in_channels == images.shape[1] or isinstance(error, InvalidInput):
            raise
        repeated = (
            "; repeat it with images.expand(-1, 3, -1, -1)" if (first.in_channels, images.shape[1]) == (3, 1) else ""
        )
        raise InvalidInput(
            f"the model takes images of {first.in_channels} channels, not {images.shape[1]}{repeated}"
        ) from error


def _start(output: Any) -> tuple[Tensor, Any]:
    """A leaf of the graph of gradients, and the layer's output with a copy of it, which the model may overwrite."""
    tensor = first_of(output).detach().clone()
    leaf = tensor.requires_grad_(tensor.is_floating_point())
    with torch.enable_grad():  # even if this part of the model runs without
        return leaf, with_first(output, leaf.clone())


def _grid(module: nn.Module, output: Tensor, images: Tensor) -> Grid | None:
    if not output.is_floating_point() or output.ndim < 3 or len(output) != len(images):
        return None
    return grid_of(output, images.shape[-2], images.shape[-1], last=type(module) is nn.LayerNorm)


def _chosen(model: nn.Module, image: Tensor) -> str:
    """The name of the last module with a spatial output on whose grid the best class has a gradient; if gradients are
    disabled, of the last one with a spatial output."""
    names = {module: name for name, module in model.named_modules()}
    found: list[tuple[str, Grid, Tensor]] = []

    def around(module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        tensor = first_of(output)
        if isinstance(module, SKIPPED) or not isinstance(tensor, Tensor):
            return output
        grid = _grid(module, tensor, image)
        if grid is None:
            return output
        with torch.enable_grad():
            kept = tensor if tensor.requires_grad else tensor.detach().requires_grad_()
            found.append((names[module], grid, kept))
            return with_first(output, kept.clone())  # the model may overwrite the copy

    with torch.enable_grad(), intercepted(model, around):
        score = called_on(model, image).amax()
    if not found:
        raise InvalidInput("no layer of this model has an output with spatial extent")
    if not score.requires_grad:
        return found[-1][0]
    slopes = torch.autograd.grad(score, [kept for *_, kept in found], allow_unused=True)
    for (name, grid, _), slope in zip(found[::-1], slopes[::-1], strict=True):
        if slope is not None and bool(grid.read(slope).any()):
            return name
    raise InvalidInput("the scores have no gradient at any layer with spatial extent; name a layer")


def _module(model: nn.Module, name: str) -> nn.Module:
    modules = {known: module for known, module in model.named_modules() if known}
    if name not in modules:
        raise NotFound(f"the model has no layer {name!r}; {nearest(str(name), modules)}")
    found: nn.Module = modules[name]
    return found


def checked(images: Any) -> Tensor:
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point() or not images.numel():
        what = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        more = "; add the batch with image[None]" if isinstance(images, Tensor) and images.ndim == 3 else ""
        raise InvalidInput(f"expected images of floats (batch, channels, height, width), not {what}{more}")
    return images.detach().clone()


def classes_of(targets: Targets, logits: Tensor) -> Int[Tensor, "b t"]:
    count, classes = logits.shape
    if targets is None:
        return logits.argmax(1, keepdim=True)
    try:
        chosen = torch.as_tensor(targets, device=logits.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"expected the numbers of classes as targets, not {targets!r}") from error
    if chosen.dtype == torch.bool or chosen.is_floating_point() or chosen.is_complex() or not chosen.numel():
        raise InvalidInput(f"expected the numbers of classes as targets, not {targets!r}")
    wrong = chosen[(chosen < 0) | (chosen >= classes)]
    if len(wrong):
        raise InvalidInput(f"the classes are 0 to {classes - 1}; there is no class {int(wrong[0])}")
    if chosen.ndim == 1 and len(chosen) == count:
        chosen = chosen[:, None]
    elif chosen.ndim != 0 and (chosen.ndim != 2 or len(chosen) not in (1, count)):
        raise InvalidInput(
            f"expected one target, ({count},), ({count}, targets) or (1, targets) for {count} images, "
            f"not {tuple(chosen.shape)}"
        )
    return chosen.long().expand(count, -1 if chosen.ndim else 1).contiguous()
