"""Listen to the operators that a model runs: every call of attention, with the module that it happened in.

A dispatch mode stands below autograd and autocast: it sees fused kernels with their queries, keys and log-sum-exp, and
leaves the model's own fast paths as they are, which a hook on a module, or a mode above autograd, would switch off.
"""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from saccade.core.errors import InvalidInput
from saccade.explain.attention_map import EVERYTHING, Asked, AttentionMap, Bounds, Needed, chosen, kept_map
from saccade.explain.held import Held, address, tracked
from saccade.explain.interventions import Replace, refuse_gradient, replaced, with_weights
from saccade.explain.operators import LAYERS, Unknown, arguments, attends, form
from saccade.explain.places import Places
from saccade.explain.scores import PRODUCTS, Scores, Softmax, Used

Heard = Callable[[AttentionMap], None]
AXES = {2: ("q", "k"), 3: ("n", "q", "k"), 4: ("b", "h", "q", "k")}  # of weights with so many


class Waiting(NamedTuple):
    """A softmax over scores that nothing has used yet: where, its map, heads in its batch, why it cannot be read."""

    place: str
    written: AttentionMap | None
    heads: int
    unknown: str


NOBODY = Waiting("", None, 0, "")


class Listening(TorchDispatchMode):
    """While it is entered, `heard` is given each map of attention that is wanted.

    `places` collects the names of the modules in which there was attention, wanted or not, and `unknown` those of which
    it cannot be read, and why.

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
        self.calls, self.wanted, self.heard, self.bounds, self.replace = calls, wanted, heard, bounds, replace
        self.unknown: dict[str, str] = {}
        self.places: dict[str, None] = {}
        self._scores, self._waiting = Scores(), dict[int, Waiting]()
        self._held: dict[int, list[Held]] = {}
        self._overwritten: set[int] = set()

    def __enter__(self) -> "Listening":
        others = torch.utils._python_dispatch._get_current_dispatch_mode_stack()
        if any(isinstance(mode, Listening) and (self.replace or mode.replace) for mode in others):
            raise InvalidInput("weights are replaced where nobody else listens; leave the outer capture first")
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for storage in self._overwritten & set(self._held):  # and will be again
            for held in self._held[storage]:
                held.copy(storage)
        for part in (self._waiting, self._held):
            part.clear()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not hasattr(func, "_schema"):  # an operator that takes functions, which are not looked into
            if "attention" in str(func) and (place := self.calls.audible()) is not None:
                self.places[place] = None
                self.unknown[place] = f"{func}: its scores are a function"
            return func(*args, **kwargs)
        name = func._schema.name.rpartition("::")[2]
        # a forward that activation checkpointing runs again, inside the backward pass, was heard the first time
        again = torch._C._current_graph_task_id() != -1
        if func._schema.is_mutable and name != "resize_":  # which writes nothing
            self._keep_what_is_written(func, args, kwargs)
        operands = self._replaced_operands(args) if self.replace is not None and name in PRODUCTS else args
        with as_unheard(func):
            out = func(*operands, **kwargs)
        if attends(name):
            if (place := self.calls.audible()) is None:
                return out
            if name == "_transformer_encoder_layer_fwd":  # as it is called where it takes the long way
                place = f"{place}.self_attn".lstrip(".")
            self.places[place] = None
            return self._attended(place, func, args, kwargs, out, again) if self.wanted(place) else out
        if not again:
            self._follow(func, name, args, out)
        return out

    def _follow(self, func: Any, name: str, args: Any, out: Any) -> None:
        """Note a softmax over scores, and hear it when a product takes what it gave."""
        found = self._scores.saw(func, name, args, out)
        if isinstance(found, Softmax) and (place := self.calls.audible()) is not None:
            written = None
            if not found.unknown and self.wanted(place):
                written = self._written(place, out.detach(), found.heads)
            self._waiting[found.number] = Waiting(place, written, found.heads, found.unknown)
        elif isinstance(found, Used) and found.number in self._waiting:
            waiting = self._waiting.pop(found.number)
            if self.calls.is_silent(waiting.place):  # a tap heard what the softmax gave
                return
            self.places[waiting.place] = None
            if waiting.written is not None:
                written = waiting.written if found.keys is None else waiting.written.first(found.keys)
                self._hear(written if self.replace is None else written.bounded(self.bounds))
            said = waiting.unknown or found.remark
            if said and self.wanted(waiting.place):
                self.unknown[waiting.place] = said

    def _attended(self, place: str, func: Any, args: Any, kwargs: Any, out: Any, again: bool) -> Any:
        """Hear an operator that attends, and what it gives with other weights, where there are some."""
        try:
            made, needed = form(func, args, kwargs, out)
        except Unknown as unknown:
            self.unknown[place] = str(unknown)
            return out
        held, groups = Held(made, needed), self._packed(needed)
        if func._schema.name.rpartition("::")[2] in LAYERS:
            if any(hasattr(module, "reshard") for module in self.calls.modules):
                held.copy()  # the projections of a sharded module are freed when it has run
            elif needed[0].is_inference() and not needed[0].is_nested:
                held.copy(address(needed[0]))  # it may be the caller's, and nobody counts how often it is written
        found = AttentionMap(place, AXES[4], held if groups == 1 else partial(unpacked, held))
        if self.replace is not None:
            weights = found.weights()
            other = replaced(self.replace, place, weights)
            if other is not None:
                given = other if groups == 1 else other.unflatten(1, (-1, groups))[:, :, :, 0]
                out = with_weights(place, func, args, kwargs, out, given)
            found = kept_map(place, AXES[4], weights if other is None else other)
        else:
            for tensor in held.tensors():
                self._held.setdefault(address(tensor), []).append(held)
        if not again:
            self._hear(found.bounded(self.bounds))
        return out

    def _packed(self, needed: Needed) -> int:
        """Heads that share their keys and stand as queries of one, as Hugging Face packs a single query; else 1."""
        module = self.calls.modules[-1] if self.calls.modules else None
        groups, config = getattr(module, "num_key_value_groups", 1), getattr(module, "config", None)
        query = needed[0]
        heads = getattr(config, "num_attention_heads", None)
        packed = groups > 1 and query.ndim == 4 and query.shape[2] == groups and query.shape[1] * groups == heads
        return groups if packed else 1

    def _replaced_operands(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The operands of a product, other weights in the place of those that a softmax gave."""
        found = list(args)
        for number, operand in enumerate(args):
            softmax = self._scores.softmax_of(operand)
            place, written, heads, _ = self._waiting.get(softmax, NOBODY)
            if written is None or self.replace is None or torch._C._current_graph_task_id() != -1:
                continue
            weights = written.weights()
            other = replaced(self.replace, place, weights)
            if other is None:
                continue
            if operand.numel() != weights.numel() or not torch.equal(weights.reshape(operand.shape), operand):
                raise InvalidInput(f"{place} changes its weights before it uses them; replace them in evaluation")
            refuse_gradient(place, operand)
            found[number] = other.to(operand.dtype).reshape(operand.shape)
            self._waiting[softmax] = Waiting(place, self._written(place, other, heads), heads, "")
        return tuple(found)

    def _written(self, place: str, weights: Tensor, heads: int) -> AttentionMap:
        """Weights that the model has made: those within the bounds are kept. Heads that were laid side by side in the
        batch are taken apart where the module says that they are heads."""
        axes, module = AXES[weights.ndim], self.calls.modules[-1] if self.calls.modules else None
        if heads and axes == AXES[3] and heads == heads_of(module) and len(weights) % heads == 0:
            weights, axes = weights.unflatten(0, (-1, heads)), AXES[4]
        bounds = EVERYTHING if self.replace is not None else self.bounds  # what is replaced is replaced whole
        held = Held(*bounds.kept(weights, axes))
        for tensor in held.tensors():  # the model may change its weights in place
            self._held.setdefault(address(tensor), []).append(held)
        return AttentionMap(place, bounds.axes(axes), held)

    def _hear(self, found: AttentionMap) -> None:
        found.forward = self.calls.forward
        self.heard(found)

    def _keep_what_is_written(self, func: Any, args: Any, kwargs: Any) -> None:
        """Copy what is about to be overwritten, such as a cache of keys, where a map will need it."""
        given = arguments(func, args, kwargs)
        for argument in func._schema.arguments:
            value = given.get(argument.name)
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and isinstance(value, Tensor) and not value.is_nested:
                storage = address(value)
                self._overwritten.add(storage)
                for held in self._held.pop(storage, ()):
                    held.copy(storage)


def heads_of(module: nn.Module | None) -> int:
    """How many heads a module says it has, that lays them side by side in the batch; 0: it does not say."""
    said = (getattr(module, name, None) for name in ("num_heads", "num_attention_heads", "n_heads", "heads"))
    return next((heads for heads in said if isinstance(heads, int) and heads > 0), 0)


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
