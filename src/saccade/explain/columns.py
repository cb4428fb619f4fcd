"""Track how many keys a cache has dropped, such as that of a sliding window.

A tensor that lost its first rows along an axis, by slicing or as others were appended, is tracked until it is used as
keys, so that the columns of the map are at the right positions.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from saccade.explain.layout import MOVES, VIEWS

KEPT = {"clone", "contiguous", "_to_copy", "to", "type_as", "detach", "alias", "expand_as"}
JOINS = {"cat", "concat", "concatenate"}


class Columns:
    """Tracks tensors that have lost their first rows along an axis."""

    def __init__(self) -> None:
        self._known: Any = WeakIdKeyDictionary()  # tensor -> {axis: number of rows dropped}

    def gone(self, keys: Tensor, axis: int) -> int:
        """The number of rows dropped from this axis, as far as known."""
        found: int = self._known.get(keys, {}).get(axis % keys.ndim, 0) if keys.ndim else 0
        return found

    def observe(self, operator: Any, name: str, args: tuple[Any, ...], out: Any) -> None:
        """Track one operator call."""
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
            elif known and name in ("index_select", "index"):  # a beam search selects other rows
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
    """The number of rows that a slice drops along its axis."""
    axis, size = axis % given.ndim, given.shape[axis]
    if not isinstance(start, int) or step != 1:
        return {}
    first = min(max(start + size if start < 0 else start, 0), size) + known.get(axis, 0)
    return {axis: first} if first else {}


def moved(operator: Any, name: str, args: tuple[Any, ...], axis: int, out: Tensor) -> int | None:
    """The position of an axis in a view of its tensor; None if it is missing or ambiguous."""
    given: Tensor = args[0]
    stand = torch.empty_strided(given.shape, [int(place == axis) for place in range(given.ndim)], device="meta")
    try:
        found = stand.view(out.shape) if name in VIEWS else operator(stand, *args[1:])
    except RuntimeError:
        return None
    size = given.shape[axis]
    there = [place for place in range(found.ndim) if found.stride(place) == 1 and found.shape[place] == size]
    return there[0] if len(there) == 1 and size > 1 else None
