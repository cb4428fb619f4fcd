"""Capture explicit attention: a softmax over scores, when a product uses its result."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.explain import layout
from saccade.explain.attention_map import AXES, Asked, AttentionMap, Bounds, kept_map
from saccade.explain.findings import Findings
from saccade.explain.held import Held
from saccade.explain.interventions import Replace, refuse_gradient, replaced
from saccade.explain.scores import CHANGED, OTHER_ORDER, SUMMED, Joined, Scores, Softmax, Summed, Used


class Waiting(NamedTuple):
    """A softmax over scores whose result has not been used yet."""

    place: str
    module: nn.Module | None
    """The module in which it ran."""
    softmax: Softmax
    held: Held | None
    """Its result; None if it is not wanted, or cannot be read."""


class Written:
    """Observes every operator that is not attention by itself.

    Args:
        found: collects the maps.
        bounds: the part of each map to keep.
        replace: called with a name and weights; returns the replacement, or None for none.
    """

    def __init__(self, found: Findings, bounds: Bounds, replace: Replace | None) -> None:
        self.found, self.bounds, self.replace = found, bounds, replace
        self._scores = Scores()
        self._waiting: dict[int, Waiting] = {}
        self._cut: dict[int, tuple[AttentionMap, AttentionMap]] = {}  # the columns that are used, and all
        self._summed: set[int] = set()
        self._disordered: set[int] = set()
        self._turned: dict[int, tuple[AttentionMap, Waiting]] = {}
        self._unread: dict[int, str] = {}  # of what cannot be read, where it was
        self._other: dict[int, AttentionMap] = {}  # what stands in the place of weights

    def saw(self, operator: Any, name: str, args: tuple[Any, ...], out: Any) -> None:
        """Note a softmax over scores, and capture it when a product uses its result."""
        for found in self._scores.saw(operator, name, args, out):
            if isinstance(found, Softmax):
                self._ran(found, out)
            elif isinstance(found, Summed):
                self._summed |= set(found.numbers)
            elif isinstance(found, Joined):
                self.found.broken |= {self._unread[number] for number in found.numbers if number in self._unread}
            elif found.number in self._waiting:
                self._used(found, self._waiting[found.number])
            elif found.number in self._turned:
                heard, waiting = self._turned[found.number]
                self._used_again(found, heard, waiting)
            elif found.number in self._cut and found.columns is not None:  # its other columns are used too
                cut, every = self._cut.pop(found.number)
                cut.become(every)

    def gone(self, keys: Tensor) -> int:
        """The number of keys (..., k, d) that a cache had dropped."""
        return self._scores.columns.gone(keys, -2)

    def end(self) -> None:
        """Hear nothing more. A softmax that only a sum took was attention where its module says so."""
        for number in self._disordered & set(self._waiting):
            self.found.say(self._waiting[number].place, OTHER_ORDER)
        for number in self._summed & set(self._waiting):
            place, module, *_ = self._waiting[number]
            if "att" in f"{place} {type(module).__name__}".lower() and not self._is_silent(self._waiting[number]):
                self.found.say(place, SUMMED)
        for part in (self._waiting, self._cut, self._turned):
            part.clear()

    def replaced_operands(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The operands of a product, with the weights from a softmax replaced."""
        uses, _ = self._scores.uses(name, args)
        for used in uses:
            waiting = self._waiting.get(used.number)
            if waiting is None or waiting.held is None or self.replace is None or self._is_silent(waiting):
                continue
            weights, place = waiting.held(Asked()), waiting.place
            if (arranged := self._arranged(weights, used, waiting)) is None:
                continue
            shown, axes = arranged
            if (other := replaced(self.replace, place, shown)) is None:
                continue
            operand, stand = used.operand, used.stand
            if stand is None or operand.numel() < weights.numel() or not layout.equal(operand, stand, weights):
                raise InvalidInput(f"{place} changes its weights before it uses them; replace them in evaluation")
            refuse_gradient(place, operand)
            base = torch.empty_like(weights, memory_format=torch.contiguous_format)
            there, _ = self._arranged(base, used, waiting) or (base, ())
            there.copy_(other)
            sizes = (shown.shape[-2], shown.shape[-1])
            self._other[used.number] = kept_map(place, axes, other, sizes=sizes, gone=waiting.softmax.gone)
            args = with_operand(args, operand, layout.placed(base, stand).to(operand.dtype))
        return args

    def _ran(self, softmax: Softmax, out: Tensor) -> None:
        if (place := self.found.calls.audible()) is None:
            return
        held = None
        if not softmax.unknown and self.found.wanted(place):
            held = self.found.held.hold(Held(lambda needed, _: needed[0], [out.detach()]))
        self._waiting[softmax.number] = Waiting(place, self.found.calls.innermost(), softmax, held)

    def _is_silent(self, waiting: Waiting) -> bool:
        """Whether a tap heard what the softmax gave."""
        return self.found.calls.is_silent(waiting.module)

    def _used(self, used: Used, waiting: Waiting) -> None:
        if self._is_silent(waiting):
            del self._waiting[used.number]
            return
        self.found.places[waiting.place] = None
        if waiting.held is None:
            del self._waiting[used.number]
            if waiting.softmax.unknown:
                self._unread[used.number] = waiting.place
                self.found.say(waiting.place, waiting.softmax.unknown)
            return
        found = self._map(used, waiting, waiting.held)
        if found is None:  # as positions relative to each query take them; the values may take them otherwise
            self._disordered.add(used.number)
            return
        del self._waiting[used.number]
        self.found.hear(found)
        if layout.is_turned(waiting.held(Asked()), used.looks):
            self._turned[used.number] = found, waiting

    def _used_again(self, used: Used, heard: AttentionMap, waiting: Waiting) -> None:
        """A map whose batch and queries were swapped by its first use is shown as it stands, where another use does."""
        if waiting.held is not None and not layout.is_turned(waiting.held(Asked()), used.looks):
            if (found := self._map(used, waiting, waiting.held)) is not None:
                heard.become(found)
            del self._turned[used.number]

    def _map(self, used: Used, waiting: Waiting, given: Held) -> AttentionMap | None:
        """The map of a softmax, as a product uses it; None if its axes are in another order."""
        weights, changed = given(Asked()), used.changed or given.copied
        if changed and used.stand is not None:
            changed = not layout.equal(used.operand, used.stand, weights)
            if changed and layout.equal(used.operand, used.stand, zeroed := weights.nan_to_num(0.0)):
                weights, changed = zeroed, False  # rows with nothing to attend
        if (arranged := self._arranged(weights, used, waiting)) is None:
            return None
        weights, axes = arranged
        if changed:
            self.found.say(waiting.place, CHANGED)
        sizes = (weights.shape[-2], weights.shape[-1])
        if used.number in self._other:
            every = self._other.pop(used.number).bounded(self.bounds)
        else:
            held = self.found.held.hold(Held(*self.bounds.kept(weights, axes)))
            every = AttentionMap(waiting.place, self.bounds.axes(axes), held, sizes=sizes, gone=waiting.softmax.gone)
        if used.columns in (None, (0, sizes[1])):
            return every
        cut = every.part(*used.columns)
        self._cut[used.number] = cut, every
        return cut

    def _arranged(self, weights: Tensor, used: Used, waiting: Waiting) -> tuple[Tensor, tuple[str, ...]] | None:
        """Weights with the axes to show. Heads that were merged into the batch are separated if the module's number of
        heads is known."""
        heads = heads_of(waiting.module)
        found = layout.arranged(weights, used.looks, heads)
        side_by_side = found is not None and waiting.softmax.heads == heads > 0 and found[1] == AXES[3]
        if found is not None and side_by_side and len(found[0]) % heads == 0:
            return found[0].unflatten(0, (-1, heads)), AXES[4]
        return found


def heads_of(module: nn.Module | None) -> int:
    """The number of heads of a module that merges them into the batch; 0 if unknown."""
    said = (getattr(module, name, None) for name in ("num_heads", "num_attention_heads", "n_heads", "heads"))
    return next((heads for heads in said if isinstance(heads, int) and heads > 0), 0)


def with_operand(args: tuple[Any, ...], operand: Tensor, other: Tensor) -> tuple[Any, ...]:
    """The same arguments with one tensor replaced, which may be in a list."""
    return tuple(
        other if arg is operand else type(arg)(with_operand(tuple(arg), operand, other))
        if isinstance(arg, tuple | list) else arg
        for arg in args
    )  # fmt: skip
