"""The modules with attention that were found while a model ran."""

from collections.abc import Callable

from torch import fx, jit

from saccade.explain.attention_map import AttentionMap
from saccade.explain.held import Holder
from saccade.explain.places import Places
from saccade.explain.scores import PIECES

Heard = Callable[[AttentionMap], None]
PROGRAM = "a scripted, traced or exported program has no module names, so each call is a separate map"


class Findings:
    """The modules with attention, and notes on them.

    Args:
        calls: the stack of module calls.
        wanted: whether the maps of a module of this name are wanted.
        heard: called with each map.
    """

    def __init__(self, calls: Places, wanted: Callable[[str], bool], heard: Heard) -> None:
        self.calls, self.wanted, self._heard = calls, wanted, heard
        self.held = Holder()
        self.places: dict[str, None] = {}
        """The modules with attention, wanted or not."""
        self.unknown: dict[str, str] = {}
        """Modules whose attention cannot be read, or differs from what they use, with the reason."""
        self.broken: set[str] = set()
        """Modules with pieces of attention that cannot be assembled."""

    def hear(self, found: AttentionMap) -> None:
        """Pass a map to `heard`."""
        found.forward = self.calls.forward
        if isinstance(self.calls.innermost(), jit.ScriptModule | fx.GraphModule):
            found.apart = True
            self.note(found.name, PROGRAM)
        self._heard(found)

    def note(self, place: str, why: str) -> None:
        """Note why a module cannot be read."""
        self.places[place] = None
        if not self.wanted(place):
            return
        said = self.unknown.get(place, "")
        if why not in said:
            self.unknown[place] = f"{said}; {why}" if said else why
        if why == PIECES:
            self.broken.add(place)
