"""Which keys a cache has forgotten: how many came before the first that is still there.

A tensor whose first rows along an axis were cut off, or left behind as others were put at its end, is followed to where
it is the keys of attention; the columns of that map are then known by their places.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from saccade.explain.layout import MOVES, VIEWS

KEPT = {"clone", "contiguous", "_to_copy", "to", "type_as", "detach", "alias", "expand_as"}
JOINS = {"cat", "concat", "concatenate"}


class Columns:
    """Follows tensors of which the first rows along an axis are gone."""

    def __init__(self) -> None:
        self._known: Any = WeakIdKeyDictionary()  # tensor -> {axis: how many are gone}

    def gone(self, keys: Tensor, axis: int) -> int:
        """How many rows came before the first of this axis, as far as that is known."""
        found: int = self._known.get(keys, {}).get(axis % keys.ndim, 0) if keys.ndim else 0
        return found

    def saw(self, operator: Any, name: str, args: tuple[Any, ...], out: Any) -> None:
        """Take note of a call."""
        given = args[0] if args else None
        if name in JOINS and isinstance(out, Tensor):
            there = [part for part in given or () if isinstance(part, Tensor) and part.numel()]
            axis = (args[1] if len(args) > 1 else 0) % out.ndim
            gone = self.gone(there[0], axis) if there else 0
            self._mark(out, {axis: gone} if gone else {})
        elif name == "copy_":
            self._mark(given, self._known.get(args[1], {}) if isinstance(args[1], Tensor) else {})
        elif isinstance(given, Tensor) and isinstance(out, Tensor):
            known: dict[int, int] = self._known.get(given, {})
            if name == "slice" and len(args) > 2:
                self._mark(out, known | cut(given, known, *args[1:]))
            elif name == "roll" and len(args) > 2 and len(args[1]) == len(args[2]) == 1 and args[1][0] < 0:
                axis = args[2][0] % given.ndim
                self._mark(out, known | {axis: known.get(axis, 0) - args[1][0]})
            elif known and out.shape == given.shape and (name in KEPT or torch.Tag.pointwise in operator.tags):
                self._mark(out, known)
            elif known and name in ("index_select", "index"):  # as a beam search takes other rows
                self._mark(out, {axis: gone for axis, gone in known.items() if axis > 0})
            elif known and (name in VIEWS or name in MOVES):
                axes = [(moved(operator, name, args, axis, out), gone) for axis, gone in known.items()]
                self._mark(out, {axis: gone for axis, gone in axes if axis is not None})

    def _mark(self, tensor: Any, known: dict[int, int]) -> None:
        if known:
            self._known[tensor] = known
        elif self._known.get(tensor) is not None:
            del self._known[tensor]


def cut(given: Tensor, known: dict[int, int], axis: int, start: Any = None, end: Any = None, step: int = 1) -> Any:
    """Of a slice, how many rows are gone along its axis."""
    axis, size = axis % given.ndim, given.shape[axis]
    if not isinstance(start, int) or step != 1:
        return {}
    first = min(max(start + size if start < 0 else start, 0), size) + known.get(axis, 0)
    return {axis: first} if first else {}


def moved(operator: Any, name: str, args: tuple[Any, ...], axis: int, out: Tensor) -> int | None:
    """Where an axis of what was given is in a view of it; None: it is not there, or not to be told from others."""
    given: Tensor = args[0]
    stand = torch.empty_strided(given.shape, [int(place == axis) for place in range(given.ndim)], device="meta")
    try:
        found = stand.view(out.shape) if name in VIEWS else operator(stand, *args[1:])
    except RuntimeError:
        return None
    size = given.shape[axis]
    there = [place for place in range(found.ndim) if found.stride(place) == 1 and found.shape[place] == size]
    return there[0] if len(there) == 1 and size > 1 else None
