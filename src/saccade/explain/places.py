"""Track which modules of a model are being called, and the number of the forward pass."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules import module as hooks

from saccade.core.tap import Tap


class Places:
    """A context manager that follows the calls of a model's modules in this thread.

    It uses global hooks, which do not disable the modules' fast paths.

    Args:
        model: the model whose module names are used.
    """

    def __init__(self, model: nn.Module) -> None:
        # a compiled module runs the original module, and has its names
        self.names = {id(module): name.replace("_orig_mod.", "") for name, module in model.named_modules()}
        self._taps = {id(module): module for module in model.modules() if isinstance(module, Tap)}
        self._tapped = {id(module) for module in model.modules() if has_tap(module)}
        self.modules: list[nn.Module] = []
        """The stack of modules being called, the innermost last."""
        self.forward = 0
        """The number of calls of the model, or of a part of it on its own."""
        self._thread = threading.get_ident()
        self._hooks: list[Any] = []
        self._before: list[Callable[[], None] | None] = []

    def __enter__(self) -> "Places":
        self._thread = threading.get_ident()
        self._hooks = [
            hooks.register_module_forward_pre_hook(lambda module, _: self._entered(module)),
            hooks.register_module_forward_hook(lambda module, *_: self._exited(module), always_call=True),
        ]
        self._before = [tap.reached for tap in self._taps.values()]
        for tap, before in zip(self._taps.values(), self._before, strict=True):
            tap.reached = partial(self._reached, before)
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        for tap, before in zip(self._taps.values(), self._before, strict=True):
            tap.reached = before
        self.modules.clear()

    def innermost(self) -> nn.Module | None:
        """The innermost module being called."""
        return next((module for module in reversed(self.modules) if id(module) in self.names), None)

    def captured_module(self) -> str | None:
        """The name of the innermost module if its operators are captured; None if it has taps, or if no module is being
        called."""
        module = self.innermost()
        return None if module is None or id(module) in self._tapped else self.names[id(module)]

    def is_tapped(self, module: nn.Module | None) -> bool:
        """Whether the module has taps."""
        return id(module) in self._tapped

    def operators(self) -> list[str]:
        """The names of the modules whose operators are captured."""
        return [name for module, name in self.names.items() if module not in self._tapped]

    def _entered(self, module: nn.Module) -> None:
        if threading.get_ident() == self._thread:  # global hooks run in all threads
            if id(module) in self._taps:
                self._reached(None)
            self.forward += id(module) in self.names and self.innermost() is None
            self.modules.append(module)

    def _reached(self, outer: Callable[[], None] | None) -> None:
        """Called when a tap is called: it covers the module that is running, which may not be its parent if a mechanism
        was called through another method than its forward."""
        if threading.get_ident() == self._thread and (module := self.innermost()) is not None:
            self._tapped.add(id(module))
        if outer is not None:
            outer()

    def _exited(self, module: nn.Module) -> None:
        # after an exception in a module its hook does not run
        while threading.get_ident() == self._thread and self.modules and self.modules.pop() is not module:
            pass


def has_tap(module: nn.Module) -> bool:
    """Whether a module is a tap or contains one."""
    return any(isinstance(part, Tap) for part in module.modules())
