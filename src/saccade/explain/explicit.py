"""Capture explicit attention: a softmax over scores, when a product uses its result."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.explain import layout
from saccade.explain.attention_map import AXES, AttentionMap, Bounds, Selection, kept_map
from saccade.explain.findings import Findings
from saccade.explain.held import Held
from saccade.explain.interventions import Replace, refuse_gradient, replaced
from saccade.explain.origins import Joined, Softmax, Summed, Used
from saccade.explain.scores import CHANGED, OTHER_ORDER, SUMMED, Scores


class Pending(NamedTuple):
    """A softmax over scores whose result has not been used yet."""

    place: str
    module: nn.Module | None
    """The module in which it ran."""
    softmax: Softmax
    held: Held | None
    """Its result; None if it is not wanted, or cannot be read."""


class ExplicitAttention:
    """Observes all operators that are not themselves attention.

    Args:
        found: collects the maps.
        bounds: the part of each map to keep.
        replace: called with a name and weights; returns the replacement, or None for none.
    """

    def __init__(self, found: Findings, bounds: Bounds, replace: Replace | None) -> None:
        self.found, self.bounds, self.replace = found, bounds, replace
        self._scores = Scores()
        self._pending: dict[int, Pending] = {}
        # the map of the columns that are used, and of all
        self._partial: dict[int, tuple[AttentionMap, AttentionMap]] = {}
        self._summed: set[int] = set()
        self._unordered: set[int] = set()
        self._swapped: dict[int, tuple[AttentionMap, Pending]] = {}
        self._unreadable: dict[int, str] = {}  # the modules of softmaxes that cannot be read
        self._replacements: dict[int, AttentionMap] = {}  # the replacements of weights

    def observe(self, operator: Any, name: str, args: tuple[Any, ...], out: Any) -> None:
        """Track an operator: remember a softmax over scores, and capture it when a product uses its result."""
        for found in self._scores.observe(operator, name, args, out):
            if isinstance(found, Softmax):
                self._softmax_ran(found, out)
            elif isinstance(found, Summed):
                self._summed |= set(found.numbers)
            elif isinstance(found, Joined):
                self.found.broken |= {
                    self._unreadable[number] for number in found.numbers if number in self._unreadable
                }
            elif found.number in self._pending:
                self._used(found, self._pending[found.number])
            elif found.number in self._swapped:
                heard, pending = self._swapped[found.number]
                self._used_again(found, heard, pending)
            elif found.number in self._partial and found.columns is not None:  # its other columns are used too
                cut, every = self._partial.pop(found.number)
                cut.replace_with(every)

    def gone(self, keys: Tensor) -> int:
        """The number of keys (..., k, d) that a cache had dropped."""
        return self._scores.columns.gone(keys, -2)

    def end(self) -> None:
        """Stop observing. A softmax used only by a sum is reported if the name of its module suggests attention."""
        for number in self._unordered & set(self._pending):
            self.found.note(self._pending[number].place, OTHER_ORDER)
        for number in self._summed & set(self._pending):
            place, module, *_ = self._pending[number]
            if "att" in f"{place} {type(module).__name__}".lower() and not self._is_tapped(self._pending[number]):
                self.found.note(place, SUMMED)
        for part in (self._pending, self._partial, self._swapped):
            part.clear()

    def replaced_operands(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The operands of a product, with the weights from a softmax replaced."""
        uses, _ = self._scores.uses(name, args)
        for used in uses:
            pending = self._pending.get(used.number)
            if pending is None or pending.held is None or self.replace is None or self._is_tapped(pending):
                continue
            weights, place = pending.held(Selection()), pending.place
            if (arranged := self._arranged(weights, used, pending)) is None:
                continue
            shown, axes = arranged
            if (other := replaced(self.replace, place, shown)) is None:
                continue
            operand, stand = used.operand, used.stand
            if stand is None or operand.numel() < weights.numel() or not layout.equal(operand, stand, weights):
                raise InvalidInput(f"{place} changes its weights after the softmax; replace them in evaluation mode")
            refuse_gradient(place, operand)
            base = torch.empty_like(weights, memory_format=torch.contiguous_format)
            there, _ = self._arranged(base, used, pending) or (base, ())
            there.copy_(other)
            sizes = (shown.shape[-2], shown.shape[-1])
            self._replacements[used.number] = kept_map(place, axes, other, sizes=sizes, gone=pending.softmax.gone)
            args = with_operand(args, operand, layout.placed(base, stand).to(operand.dtype))
        return args

    def _softmax_ran(self, softmax: Softmax, out: Tensor) -> None:
        if (place := self.found.calls.captured_module()) is None:
            return
        held = None
        if not softmax.unknown and self.found.wanted(place):
            held = self.found.held.hold(Held(lambda needed, _: needed[0], [out.detach()]))
        self._pending[softmax.number] = Pending(place, self.found.calls.innermost(), softmax, held)

    def _is_tapped(self, pending: Pending) -> bool:
        """Whether the module of the softmax has taps, which capture its attention."""
        return self.found.calls.is_tapped(pending.module)

    def _used(self, used: Used, pending: Pending) -> None:
        if self._is_tapped(pending):
            del self._pending[used.number]
            return
        self.found.places[pending.place] = None
        if pending.held is None:
            del self._pending[used.number]
            if pending.softmax.unknown:
                self._unreadable[used.number] = pending.place
                self.found.note(pending.place, pending.softmax.unknown)
            return
        found = self._map(used, pending, pending.held)
        # such as a product with relative positions; the product with the values may use another order
        if found is None:
            self._unordered.add(used.number)
            return
        del self._pending[used.number]
        self.found.hear(found)
        if layout.is_swapped(pending.held(Selection()), used.as_used):
            self._swapped[used.number] = found, pending

    def _used_again(self, used: Used, heard: AttentionMap, pending: Pending) -> None:
        """If the first use of a map swapped its batch and queries, and another does not, show the map of the latter."""
        if pending.held is not None and not layout.is_swapped(pending.held(Selection()), used.as_used):
            if (found := self._map(used, pending, pending.held)) is not None:
                heard.replace_with(found)
            del self._swapped[used.number]

    def _map(self, used: Used, pending: Pending, given: Held) -> AttentionMap | None:
        """The map of a softmax, as a product uses it; None if its axes are in another order."""
        weights, changed = given(Selection()), used.changed or given.copied
        if changed and used.stand is not None:
            changed = not layout.equal(used.operand, used.stand, weights)
            if changed and layout.equal(used.operand, used.stand, zeroed := weights.nan_to_num(0.0)):
                weights, changed = zeroed, False  # rows with nothing to attend
        if (arranged := self._arranged(weights, used, pending)) is None:
            return None
        weights, axes = arranged
        if changed:
            self.found.note(pending.place, CHANGED)
        sizes = (weights.shape[-2], weights.shape[-1])
        if used.number in self._replacements:
            every = self._replacements.pop(used.number).bounded(self.bounds)
        else:
            held = self.found.held.hold(Held(*self.bounds.kept(weights, axes)))
            every = AttentionMap(pending.place, self.bounds.axes(axes), held, sizes=sizes, gone=pending.softmax.gone)
        if used.columns in (None, (0, sizes[1])):
            return every
        cut = every.part(*used.columns)
        self._partial[used.number] = cut, every
        return cut

    def _arranged(self, weights: Tensor, used: Used, pending: Pending) -> tuple[Tensor, tuple[str, ...]] | None:
        """Weights with the axes to show. Heads that were merged into the batch are separated if the module's number of
        heads is known."""
        heads = heads_of(pending.module)
        found = layout.arranged(weights, used.as_used, heads)
        side_by_side = found is not None and pending.softmax.heads == heads > 0 and found[1] == AXES[3]
        if found is not None and side_by_side and len(found[0]) % heads == 0:
            return found[0].unflatten(0, (-1, heads)), AXES[4]
        return found


def heads_of(module: nn.Module | None) -> int:
    """The number of heads of a module that merges them into the batch; 0 if unknown."""
    said = (getattr(module, name, None) for name in ("num_heads", "num_attention_heads", "n_heads", "heads"))
    return next((heads for heads in said if isinstance(heads, int) and heads > 0), 0)


def with_operand(args: tuple[Any, ...], operand: Tensor, other: Tensor) -> tuple[Any, ...]:
    """The arguments with one tensor, which may be in a list, replaced."""
    return tuple(
        other if arg is operand else type(arg)(with_operand(tuple(arg), operand, other))
        if isinstance(arg, tuple | list) else arg
        for arg in args
    )  # fmt: skip
