"""Run a model from one of its layers on.

A forward pass of one image is recorded: the outputs of all modules that end before the layer is called, only the
outermost ones where they are nested. In a replay these modules return what was recorded, the layer returns the given
outputs, and everything after it is computed. Operations between modules, such as a residual sum, are computed too. So
the layer needs no special place, and the model need not be a chain.

A replay is sound if the modules are called in the same order and their outputs have the batch as first axis. Both are
checked, the outputs with two copies of the layer's own; a model that fails runs whole, with the layer's output
replaced.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput


class Replay:
    """One image's forward pass, to be continued from other outputs of a layer. Use it within `torch.no_grad()`.

    Attributes:
        logits: (1, classes), of the recorded pass.
        output: (1, ...), the layer's, in its last call.
        shortened: whether the modules before the layer are left out; if not, each call runs the whole model.
    """

    def __init__(self, model: nn.Module, layer: nn.Module, image: Float[Tensor, "1 c y x"]) -> None:
        self._model, self._layer, self._image = model, layer, image
        self._steps: list[tuple[nn.Module, Any]] = []
        self._calls = 0
        self._given: Any = None
        self._views, self.shortened, self._reached = True, True, False
        self.logits = self._record()
        self.output = first_of(self._given)
        if not self._agrees():
            self._views = False  # perhaps the model writes into what is returned: return copies
            self.logits = self._record()
            self.shortened = True
            self.shortened = self._agrees()

    def __call__(self, outputs: Float[Tensor, "n ..."]) -> Float[Tensor, "n classes"]:
        """The logits for other outputs of the layer."""
        images = self._image.repeat(len(outputs), 1, 1, 1)
        if self.shortened:
            try:
                self._reached = False
                with intercepted(self._model, self._shortened(outputs)):
                    logits = logits_of(self._model(images))
                if self._reached:
                    return logits
            except _OtherOrder:
                pass
            self.shortened = False
        with intercepted(self._model, self._whole(outputs)):
            return logits_of(self._model(images))

    def _record(self) -> Tensor:
        trace: list[tuple[nn.Module, Any]] = []
        self._calls = 0

        def around(module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            place = len(trace)
            if module is self._layer:
                self._calls += 1
                self._steps = list(trace)
            trace.append((module, None))  # None: it runs in the replay too
            output = forward(*args, **kwargs)
            if (copy := _copy(output)) is not None:
                trace[place:] = [(module, copy)]  # a module that is left out calls none of its own
            if module is self._layer:
                self._given = output if copy is None else copy
            return output

        with intercepted(self._model, around):
            return logits_of(self._model(self._image))

    def _agrees(self) -> bool:
        """Whether two copies of the layer's own output give the recorded logits and overwrite nothing recorded."""
        kept = [tensor for _, output in self._steps for tensor in _tensors(output)]
        before = [tensor._version for tensor in kept]
        try:
            logits = self(self.output.repeat(2, *[1] * (self.output.ndim - 1)))
        except Exception:  # whatever the model's code raises at what it did not expect
            return False
        tolerance = torch.finfo(logits.dtype).eps ** 0.5 * float(self.logits.abs().max())
        close = torch.allclose(logits, self.logits.expand_as(logits), rtol=0, atol=tolerance)
        return self.shortened and close and before == [tensor._version for tensor in kept]

    def _shortened(self, outputs: Tensor) -> Callable[..., Any]:
        steps = deque(self._steps)

        def around(module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if self._reached:
                return forward(*args, **kwargs)
            self._reached = not steps
            called, output = (self._layer, self._given) if self._reached else steps.popleft()
            if called is not module:
                raise _OtherOrder
            if self._reached:
                return with_first(self._wide(output, len(outputs)), outputs)
            return forward(*args, **kwargs) if output is None else self._wide(output, len(outputs))

        return around

    def _whole(self, outputs: Tensor) -> Callable[..., Any]:
        calls = 0

        def around(module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            output = forward(*args, **kwargs)
            calls += module is self._layer
            return with_first(output, outputs) if module is self._layer and calls == self._calls else output

        return around

    def _wide(self, output: Any, count: int) -> Any:
        """What was recorded of one image, for a batch of copies of it."""
        if not isinstance(output, Tensor):
            return tuple(None if one is None else self._wide(one, count) for one in output)
        wide = output.expand(count, *output.shape[1:])
        return wide if self._views else wide.clone()


class _OtherOrder(Exception):
    """The modules are called in another order than when they were recorded."""


@contextmanager
def intercepted(model: nn.Module, around: Callable[..., Any]) -> Iterator[None]:
    """Within the block, each call of a module below `model` is `around(module, forward, *args, **kwargs)`.

    Compiled TorchScript is left alone. Everything is restored at the end, even after an exception.
    """
    modules = [one for one in model.modules() if one is not model and not isinstance(one, torch.jit.ScriptModule)]
    own = [(module, module.__dict__.get("forward")) for module in modules]
    try:
        for module in modules:
            module.__dict__["forward"] = partial(around, module, module.forward)
        yield
    finally:
        for module, forward in own:
            module.__dict__.pop("forward", None)
            if forward is not None:
                module.__dict__["forward"] = forward


def logits_of(output: Any) -> Float[Tensor, "b classes"]:
    """The logits in what a classifier returns: a tensor, an object with `logits`, or the first of a tuple.

    Raises:
        InvalidInput: they are not (batch, classes).
    """
    found = getattr(output, "logits", output)
    found = found[0] if isinstance(found, tuple | list) and found else found
    if not isinstance(found, Tensor) or found.ndim != 2 or not found.is_floating_point():
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InvalidInput(f"expected a classifier, whose output is logits of shape (batch, classes), not {shape}")
    return found


def first_of(output: Any) -> Any:
    """The tensor in what a layer returns; of a tuple, the first element."""
    return output[0] if type(output) in (tuple, list) and output else output


def with_first(output: Any, tensor: Tensor) -> Any:
    return type(output)((tensor, *output[1:])) if type(output) in (tuple, list) else tensor


def _tensors(output: Any) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else [one for one in output or () if one is not None]


def _copy(output: Any) -> Any:
    """A copy of a tensor, or of a tuple of tensors, whose writes are counted; None for anything else."""
    with torch.inference_mode(False):
        if isinstance(output, Tensor):
            return output.clone()
        if type(output) is tuple and all(one is None or isinstance(one, Tensor) for one in output):
            return tuple(None if one is None else one.clone() for one in output)
        return None
