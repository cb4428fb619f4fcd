"""Listen to the operators that a model runs: every call of attention, with the module that it happened in.

A dispatch mode stands below autograd and autocast: it sees fused kernels with their queries, keys and log-sum-exp, and
leaves the model's own fast paths as they are, which a hook on a module, or a mode above autograd, would switch off. The
names of modules come from hooks that are global, which no module's fast path asks about.
"""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode

from saccade.explain.attention_map import Asked, AttentionMap, chosen
from saccade.explain.operators import Form, Needed, Unknown, attends, form
from saccade.explain.scores import Scores

Heard = Callable[[AttentionMap], None]
EVERYTHING = Asked()
AXES = {2: ("q", "k"), 3: ("n", "q", "k"), 4: ("b", "h", "q", "k")}  # of weights with so many


class Listening(TorchDispatchMode):
    """While it is entered, `heard` is given each map of attention that is wanted.

    `places` collects the names of the modules in which there was attention, wanted or not, and `unknown` those of which
    it cannot be read, and why.

    Args:
        model: whose modules give the names.
        wanted: whether the maps of a module of this name are wanted.
        heard: called with each of them.
        bounds: the heads and queries that are seen; no others are kept where a model writes its weights out.
    """

    def __init__(
        self, model: nn.Module, wanted: Callable[[str], bool], heard: Heard, bounds: Asked = EVERYTHING
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.wanted, self.heard, self.bounds = wanted, heard, bounds
        self.unknown: dict[str, str] = {}
        self._names = {id(module): name for name, module in model.named_modules()}
        self._modules: list[nn.Module] = []
        self.places: dict[str, None] = {}
        self._scores, self._waiting = Scores(), dict[int, tuple[str, AttentionMap | None]]()
        self._held: dict[int, list[Held]] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> "Listening":
        self._hooks = [
            hooks.register_module_forward_pre_hook(lambda module, _: self._modules.append(module)),
            hooks.register_module_forward_hook(lambda module, *_: self._left(module), always_call=True),
        ]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()
        self._modules.clear()
        self._waiting.clear()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.rpartition("::")[2]
        if self._held and func._schema.is_mutable:
            self._keep_what_is_written(func, args, kwargs)
        with as_unheard(func):
            out = func(*args, **kwargs)
        # a forward that activation checkpointing runs again, inside the backward pass, was heard the first time
        if torch._C._current_graph_task_id() == -1:
            self._listen(func, name, args, kwargs, out)
        return out

    def _listen(self, func: Any, name: str, args: Any, kwargs: Any, out: Any) -> None:
        if attends(name):
            place = self.place()
            if name == "_transformer_encoder_layer_fwd":  # as it is called where it takes the long way
                place = f"{place}.self_attn".lstrip(".")
            self.places[place] = None
            if self.wanted(place):
                self._hear_operator(place, func, args, kwargs, out)
            return
        softmax, used = self._scores.saw(func, name, args, out)
        if softmax is not None and out.ndim in AXES:
            place = self.place()
            written = self._written(place, out.detach()) if self.wanted(place) else None
            self._waiting[softmax] = place, written
        if used is not None and used in self._waiting:
            place, written = self._waiting.pop(used)
            self.places[place] = None
            if written is not None:
                self.heard(written)

    def _hear_operator(self, place: str, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        try:
            made, needed = form(func, args, kwargs, out)
        except Unknown as unknown:
            self.unknown[place] = str(unknown)
            return
        held = Held(made, needed)
        for tensor in needed:
            if tensor is not None and not tensor.is_nested:
                self._held.setdefault(address(tensor), []).append(held)
        self.heard(AttentionMap(place, AXES[4], held).bounded(self.bounds))

    def _written(self, place: str, weights: Tensor) -> AttentionMap:
        """Weights that the model has made: those within the bounds are kept."""
        axes, module = AXES[weights.ndim], self._modules[-1] if self._modules else None
        if axes == AXES[3] and isinstance(module, nn.MultiheadAttention):
            weights, axes = weights.unflatten(0, (-1, module.num_heads)), AXES[4]
        kept = chosen(weights, axes, self.bounds)
        kept = kept.clone() if kept.numel() < weights.numel() else kept  # a view would hold all of it
        return AttentionMap(place, axes, lambda asked: chosen(kept, axes, asked))

    def place(self) -> str:
        """Qualified name of the innermost module of the model that is being called."""
        return next((self._names[id(module)] for module in reversed(self._modules) if id(module) in self._names), "")

    def _left(self, module: nn.Module) -> None:
        # a module that raised was left without its hook
        while self._modules and self._modules.pop() is not module:
            pass

    def _keep_what_is_written(self, func: Any, args: Any, kwargs: Any) -> None:
        """Copy what is about to be overwritten, such as a cache of keys, where a map will need it."""
        given = list(zip(func._schema.arguments, args, strict=False))
        given += [(argument, kwargs.get(argument.name)) for argument in func._schema.arguments[len(args) :]]
        for argument, value in given:
            if (
                argument.alias_info is not None
                and argument.alias_info.is_write
                and isinstance(value, Tensor)
                and not value.is_nested
            ):
                for held in self._held.pop(address(value), ()):
                    held.copy(address(value))


def as_unheard(func: Any) -> AbstractContextManager[Any]:
    """Where an operator takes the way that it takes while nobody listens.

    In inference mode an operator that is made of others, such as a linear layer, comes here whole; the views that it
    makes of weights must be tracked as they are outside, or it chooses another product, which rounds otherwise.
    """
    guard = getattr(torch._C, "_SetExcludeDispatchKeyGuard", None)
    if guard is None or not torch.is_inference_mode_enabled() or not composite(func):
        return nullcontext()
    tracked: AbstractContextManager[Any] = guard(torch._C.DispatchKey.ADInplaceOrView, False)
    return tracked


@functools.cache
def composite(func: Any) -> bool:
    """Whether an operator is made of others."""
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))


class Held:
    """What makes a map, and of what; it is copied where the model is about to overwrite it."""

    def __init__(self, form: Form, needed: Needed) -> None:
        self._form, self._needed = form, needed

    def __call__(self, asked: Asked) -> Tensor:
        return self._form(self._needed, asked)

    def copy(self, storage: int) -> None:
        """What stands in this storage."""
        self._needed = [
            x.clone() if x is not None and not x.is_nested and address(x) == storage else x for x in self._needed
        ]


def address(tensor: Tensor) -> int:
    """The same for all views of one storage."""
    return tensor.untyped_storage().data_ptr()
