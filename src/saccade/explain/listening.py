"""Capture attention from the operators that a model runs, with the module of each call.

A dispatch mode works below autograd and autocast: it sees fused kernels with their queries, keys and log-sum-exp, and
does not disable the model's fast paths, as hooks on modules or a mode above autograd would. A capture must never make a
model fail: operators that cannot be tracked are reported, and the model continues.
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
from saccade.explain.attention_map import AXES, EVERYTHING, AttentionMap, Bounds, Needed, Selection, chosen, kept_map
from saccade.explain.explicit import ExplicitAttention
from saccade.explain.findings import Findings, Heard
from saccade.explain.held import Held, address, is_equal, tracked, version
from saccade.explain.interventions import Replace, replaced, with_weights
from saccade.explain.operators import LAYERS, Unknown, arguments, attends, form, sizes
from saccade.explain.places import Places
from saccade.explain.scores import PRODUCTS


class _DispatchBase:
    """The base of the dispatch mode, which avoids importing the compiler.

    PyTorch wraps a `__torch_dispatch__` defined in a mode's own class to hide it from the compiler, and imports the
    compiler for that, 800 modules or 1.4 seconds, when the first operator runs. One defined in a base class is not
    wrapped; here it is wrapped once the compiler has been imported.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        compiler: Any = sys.modules.get("torch._dynamo")
        if self._handle is None and hasattr(compiler, "disable"):  # it may be only partially imported
            self._handle = compiler.disable(self.observe, recursive=True)
        return (self.observe if self._handle is None else self._handle)(func, args, kwargs or {})

    _handle: Any = None
    observe: Callable[..., Any]


class Listening(_DispatchBase, TorchDispatchMode):
    """A context manager that passes each wanted attention map to `heard`.

    Args:
        calls: the stack of module calls.
        wanted: whether the maps of a module of this name are wanted.
        heard: called with each map.
        bounds: the part of each map to keep; weights that the model computes itself are reduced to it at once.
        replace: called with a name and weights; returns the replacement, or None for none.
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
        self._explicit = ExplicitAttention(self.found, bounds, replace)
        self._last: dict[str, tuple[Any, Held, Tensor | None]] = {}  # the last attention of each module

    def __enter__(self) -> "Listening":
        others = torch.utils._python_dispatch._get_current_dispatch_mode_stack()
        if any(isinstance(mode, Listening) and (self.replace or mode.replace) for mode in others):
            raise InvalidInput("weights cannot be replaced inside another capture; end that one first")
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self.found.held.end()
        self._explicit.end()
        self._last.clear()

    def observe(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operator and track it."""
        if not hasattr(func, "_schema"):  # an operator that takes functions, which are not tracked
            if "attention" in str(func) and (place := self.calls.captured_module()) is not None:
                self.found.note(place, f"{func}: its scores are a function")
            return func(*args, **kwargs)
        name = func._schema.name.rpartition("::")[2]
        # activation checkpointing repeats the forward in the backward pass; the first one was captured
        again = torch._C._current_graph_task_id() != -1
        operands = args
        try:
            if func._schema.is_mutable and name != "resize_":  # it writes nothing
                self._copy_overwritten(func, args, kwargs)
            if self.replace is not None and name in PRODUCTS and not again:
                operands = self._explicit.replaced_operands(name, args)
        except Exception as error:
            self._report(func, error)
        with unobserved(func):
            out = func(*operands, **kwargs)
        try:
            if attends(name):
                return self._attended(name, func, args, kwargs, out, again)
            if not again:
                self._explicit.observe(func, name, args, out)
        except Exception as error:
            self._report(func, error)
        return out

    def _report(self, func: Any, error: Exception) -> None:
        """Report our own failures instead of raising them; errors of a replacement or a rollout are raised."""
        if isinstance(error, InvalidInput):
            raise error
        if (place := self.calls.captured_module()) is not None:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.found.note(place, f"{func._schema.name} cannot be tracked: {said}")

    def _attended(self, name: str, func: Any, args: Any, kwargs: Any, out: Any, again: bool) -> Any:
        """Capture a fused attention operator; returns its output with replaced weights, if there are any."""
        if (place := self.calls.captured_module()) is None:
            return out
        if name == "_transformer_encoder_layer_fwd":  # the name that the model uses without the fast path
            place = f"{place}.self_attn".lstrip(".")
        self.found.places[place] = None
        if not self.found.wanted(place):
            return out
        try:
            made, needed = form(func, args, kwargs, out)
        except Unknown as unknown:
            self.found.note(place, str(unknown))
            return out
        held, groups = Held(made, needed), self._packed(needed)
        twice = self._is_repeated(place, needed, held)
        if name in LAYERS:
            if any(hasattr(module, "reshard") for module in self.calls.modules):
                held.copy()  # a sharded module frees its projections after its forward
            elif needed[0].is_inference() and not needed[0].is_nested:
                held.copy(address(needed[0]))  # the tensor may belong to the caller, whose writes are not tracked
        queries, keys = sizes(needed) or (None, None)
        seen = None if queries is None or keys is None else (queries if groups == 1 else 1, keys)
        gone = 0 if name in LAYERS else self._explicit.gone(needed[1])
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

    def _is_repeated(self, place: str, needed: Needed, held: Held) -> bool:
        """Whether a module repeats its last attention, with the same queries, keys and mask, on other values."""
        query, keys, mask = needed[:3]
        if query.is_nested or keys.is_nested:
            return False
        both = self.calls.forward, *((x.data_ptr(), x.shape, x.stride(), version(x)) for x in (query, keys))
        before, last, hidden = self._last.get(place, (None, held, None))
        self._last[place] = both, held, mask
        same = mask is hidden or (mask is not None and hidden is not None and is_equal(mask, hidden))
        return before == both and not last.copied and same

    def _packed(self, needed: Needed) -> int:
        """Number of heads that share keys and are packed as queries of one head, as Hugging Face does for a single
        query; else 1."""
        module = self.calls.modules[-1] if self.calls.modules else None
        groups, config = getattr(module, "num_key_value_groups", 1), getattr(module, "config", None)
        query = needed[0]
        heads = getattr(config, "num_attention_heads", None)
        packed = groups > 1 and query.ndim == 4 and query.shape[2] == groups and query.shape[1] * groups == heads
        return groups if packed else 1

    def _copy_overwritten(self, func: Any, args: Any, kwargs: Any) -> None:
        """Copy a tensor that is about to be overwritten, such as a cache of keys, if a map needs it."""
        given = arguments(func, args, kwargs)
        for argument in func._schema.arguments:
            value = given.get(argument.name)
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and isinstance(value, Tensor) and not value.is_nested:
                self.found.held.before_write(address(value))


def unpacked(held: Held, selection: Selection) -> Tensor:
    """Weights (b, g, G, k) as those of g G heads with one query, (b, g G, 1, k)."""
    return chosen(held(Selection()).flatten(1, 2)[:, :, None], AXES[4], selection)


def unobserved(func: Any) -> AbstractContextManager[Any]:
    """Run an operator the same way as without a capture.

    In inference mode a composite operator, such as a linear layer, arrives here undecomposed. Its views of weights must
    be tracked as usual, or it selects another product, with different rounding.
    """
    return tracked() if torch.is_inference_mode_enabled() and composite(func) else nullcontext()


@functools.cache
def composite(func: Any) -> bool:
    """Whether an operator is composite and does not return a view, which would be tracked twice."""
    made = bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))
    return made and all(found.alias_info is None for found in func._schema.returns)
