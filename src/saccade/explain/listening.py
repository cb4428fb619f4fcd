"""Listen to the operators that a model runs: every call of attention, with the module that it happened in.

A dispatch mode stands below autograd and autocast: it sees fused kernels with their queries, keys and log-sum-exp, and
leaves the model's own fast paths as they are, which a hook on a module, or a mode above autograd, would switch off.
Nothing that is done here may make a model fail: what cannot be followed is named, and the model goes on.
"""

import functools
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from saccade.core.errors import InvalidInput
from saccade.explain.attention_map import AXES, EVERYTHING, Asked, AttentionMap, Bounds, Needed, chosen, kept_map
from saccade.explain.findings import Findings, Heard
from saccade.explain.held import Held, address, is_equal, tracked, version
from saccade.explain.interventions import Replace, replaced, with_weights
from saccade.explain.operators import LAYERS, Unknown, arguments, attends, form, sizes
from saccade.explain.places import Places
from saccade.explain.scores import PRODUCTS
from saccade.explain.written import Written


class _Undisturbed:
    """The dispatch, without the compiler.

    PyTorch wraps a `__torch_dispatch__` that stands in a mode's own body so that the compiler leaves it alone, and for
    that imports the compiler, 800 modules or 1.4 seconds, the first time that an operator runs. One that stands in a
    base is not wrapped; here that is done once somebody else has imported the compiler.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        compiler: Any = sys.modules.get("torch._dynamo")
        if self._handle is None and hasattr(compiler, "disable"):  # it may be half imported
            self._handle = compiler.disable(self.saw, recursive=True)
        return (self.saw if self._handle is None else self._handle)(func, args, kwargs or {})

    _handle: Any = None
    saw: Callable[..., Any]


class Listening(_Undisturbed, TorchDispatchMode):
    """While it is entered, `heard` is given each map of attention that is wanted.

    Args:
        calls: the modules that are being called.
        wanted: whether the maps of a module of this name are wanted.
        heard: called with each of them.
        bounds: what is seen; nothing else is kept where a model writes its weights out.
        replace: called with a name and weights; the model goes on with what it returns, None leaves them.
    """

    supports_higher_order_operators = True

    def __init__(
        self,
        calls: Places,
        wanted: Callable[[str], bool],
        heard: Heard,
        bounds: Bounds = EVERYTHING,
        replace: Replace | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls, self.bounds, self.replace = calls, bounds, replace
        self.found = Findings(calls, wanted, heard)
        self._written = Written(self.found, bounds, replace)
        self._last: dict[str, tuple[Any, Held, Tensor | None]] = {}  # of each module, what it looked with

    def __enter__(self) -> "Listening":
        others = torch.utils._python_dispatch._get_current_dispatch_mode_stack()
        if any(isinstance(mode, Listening) and (self.replace or mode.replace) for mode in others):
            raise InvalidInput("weights are replaced where nobody else listens; leave the outer capture first")
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self.found.held.end()
        self._written.end()
        self._last.clear()

    def saw(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operator, and take note of it."""
        if not hasattr(func, "_schema"):  # an operator that takes functions, which are not looked into
            if "attention" in str(func) and (place := self.calls.audible()) is not None:
                self.found.say(place, f"{func}: its scores are a function")
            return func(*args, **kwargs)
        name = func._schema.name.rpartition("::")[2]
        # a forward that activation checkpointing runs again, inside the backward pass, was heard the first time
        again = torch._C._current_graph_task_id() != -1
        operands = args
        try:
            if func._schema.is_mutable and name != "resize_":  # which writes nothing
                self._keep_what_is_written(func, args, kwargs)
            if self.replace is not None and name in PRODUCTS and not again:
                operands = self._written.replaced_operands(name, args)
        except Exception as error:
            self._go_on(func, error)
        with as_unheard(func):
            out = func(*operands, **kwargs)
        try:
            if attends(name):
                return self._attended(name, func, args, kwargs, out, again)
            if not again:
                self._written.saw(func, name, args, out)
        except Exception as error:
            self._go_on(func, error)
        return out

    def _go_on(self, func: Any, error: Exception) -> None:
        """What goes wrong here is not the model's fault; but a replacement or a rollout may be refused."""
        if isinstance(error, InvalidInput):
            raise error
        if (place := self.calls.audible()) is not None:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.found.say(place, f"{func._schema.name} cannot be followed: {said}")

    def _attended(self, name: str, func: Any, args: Any, kwargs: Any, out: Any, again: bool) -> Any:
        """Hear an operator that attends, and what it gives with other weights, where there are some."""
        if (place := self.calls.audible()) is None:
            return out
        if name == "_transformer_encoder_layer_fwd":  # as it is called where it takes the long way
            place = f"{place}.self_attn".lstrip(".")
        self.found.places[place] = None
        if not self.found.wanted(place):
            return out
        try:
            made, needed = form(func, args, kwargs, out)
        except Unknown as unknown:
            self.found.say(place, str(unknown))
            return out
        held, groups = Held(made, needed), self._packed(needed)
        twice = self._same_again(place, needed, held)
        if name in LAYERS:
            if any(hasattr(module, "reshard") for module in self.calls.modules):
                held.copy()  # the projections of a sharded module are freed when it has run
            elif needed[0].is_inference() and not needed[0].is_nested:
                held.copy(address(needed[0]))  # it may be the caller's, and nobody counts how often it is written
        queries, keys = sizes(needed) or (None, None)
        seen = None if queries is None or keys is None else (queries if groups == 1 else 1, keys)
        gone = 0 if name in LAYERS else self._written.gone(needed[1])
        found = AttentionMap(place, AXES[4], held if groups == 1 else partial(unpacked, held), sizes=seen, gone=gone)
        if self.replace is not None:
            weights = found.weights()
            other = replaced(self.replace, place, weights)
            if other is not None:
                given = other if groups == 1 else other.unflatten(1, (-1, groups))[:, :, :, 0]
                out = with_weights(place, func, args, kwargs, out, given)
            found = kept_map(place, AXES[4], weights if other is None else other, sizes=seen, gone=gone)
        else:
            self.found.held.hold(held)
        if not again and not twice:
            self.found.hear(found.bounded(self.bounds))
        return out

    def _same_again(self, place: str, needed: Needed, held: Held) -> bool:
        """Whether a module looks once more with the queries, keys and mask of its last look, at other values."""
        query, keys, mask = needed[:3]
        if query.is_nested or keys.is_nested:
            return False
        both = self.calls.forward, *((x.data_ptr(), x.shape, x.stride(), version(x)) for x in (query, keys))
        before, last, hidden = self._last.get(place, (None, held, None))
        self._last[place] = both, held, mask
        same = mask is hidden or (mask is not None and hidden is not None and is_equal(mask, hidden))
        return before == both and not last.copied and same

    def _packed(self, needed: Needed) -> int:
        """Heads that share their keys and stand as queries of one, as Hugging Face packs a single query; else 1."""
        module = self.calls.modules[-1] if self.calls.modules else None
        groups, config = getattr(module, "num_key_value_groups", 1), getattr(module, "config", None)
        query = needed[0]
        heads = getattr(config, "num_attention_heads", None)
        packed = groups > 1 and query.ndim == 4 and query.shape[2] == groups and query.shape[1] * groups == heads
        return groups if packed else 1

    def _keep_what_is_written(self, func: Any, args: Any, kwargs: Any) -> None:
        """Copy what is about to be overwritten, such as a cache of keys, where a map will need it."""
        given = arguments(func, args, kwargs)
        for argument in func._schema.arguments:
            value = given.get(argument.name)
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and isinstance(value, Tensor) and not value.is_nested:
                self.found.held.is_written(address(value))


def unpacked(held: Held, asked: Asked) -> Tensor:
    """Of weights (b, g, G, k) those of g G heads with one query, (b, g G, 1, k)."""
    return chosen(held(Asked()).flatten(1, 2)[:, :, None], AXES[4], asked)


def as_unheard(func: Any) -> AbstractContextManager[Any]:
    """Where an operator takes the way that it takes while nobody listens.

    In inference mode an operator that is made of others, such as a linear layer, comes here whole; the views that it
    makes of weights must be tracked as they are outside, or it chooses another product, which rounds otherwise.
    """
    return tracked() if torch.is_inference_mode_enabled() and composite(func) else nullcontext()


@functools.cache
def composite(func: Any) -> bool:
    """Whether an operator is made of others, and gives no view, which would be tracked twice."""
    made = bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))
    return made and all(found.alias_info is None for found in func._schema.returns)
