"""Which calls of a module are steps of one map, and which are maps of their own.

A decoder that goes step by step looks with one query at a time, or with a few, at keys to which those of each step are
added; a module that is called both ways, once for each of its heads, or for another input, makes several maps. What
cannot be told apart is kept apart, call by call.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Call(NamedTuple):
    """A call of a module.

    forward: in which forward of the model. others: the sizes of the axes before queries and keys, with their letters.
    queries, keys: how many. gone: how many keys came before the first. apart: it is never a step of what came before.
    """

    forward: int
    others: tuple[object, ...]
    queries: int
    keys: int
    gone: int = 0
    apart: bool = False

    @property
    def end(self) -> int:
        return self.gone + self.keys


def series(calls: Sequence[Call]) -> list[list[int]]:
    """The places of the calls whose rows are those of one map, in their order; the first of each say which is first."""
    forwards: dict[int, list[int]] = {}
    for place, call in enumerate(calls):
        forwards.setdefault(call.forward, []).append(place)
    together = list(forwards.values())
    if not any(is_parallel([calls[place] for place in places]) for places in together) and not grow(calls, together):
        # several looks of one forward are the steps of a recurrent decoder, and another forward begins anew
        return [found for several in runs_of(together) for found in steps(calls, several)]
    if len({len(places) for places in together}) > 1:
        return [[place] for place in range(len(calls))]
    lanes = [found for lane in zip(*together, strict=True) for found in steps(calls, lane)]
    return sorted(lanes)


def is_parallel(calls: Sequence[Call]) -> bool:
    """Whether the calls of one forward are no steps: then each is a map of its own."""
    return len(steps(calls, range(len(calls)))) > 1


def grow(calls: Sequence[Call], together: Sequence[Sequence[int]]) -> bool:
    """Whether forwards of several looks are steps themselves, in which keys are added from one to the next."""
    if len(together) < 2 or any(len(places) < 2 for places in together):
        return False
    lanes = zip(*together, strict=False)
    return all(
        calls[later].queries and calls[later].end == calls[earlier].end + calls[later].queries
        for lane in lanes
        for earlier, later in pairwise(lane)
    )


def runs_of(together: Sequence[Sequence[int]]) -> list[list[int]]:
    """Forwards of one look each are put together; one of several stands by itself."""
    runs: list[list[int]] = []
    alone = True
    for places in together:
        if alone or len(places) > 1:
            runs.append([])
        runs[-1] += places
        alone = len(places) > 1
    return runs


def steps(calls: Sequence[Call], places: Sequence[int]) -> list[list[int]]:
    """Calls in their order, parted where one is no step after the one before."""
    found: list[list[int]] = []
    grown = False  # whether each step so far has added its keys
    for place in places:
        call, before = calls[place], calls[found[-1][-1]] if found else None
        adds = before is not None and call.end == before.end + call.queries
        follows = (
            before is not None
            and call.others == before.others
            and not call.apart
            and (adds or (not grown and call.queries == 1 and call.end >= before.end))
        )
        if not follows:
            found.append([])
            adds = False
        grown = adds or (grown and follows)
        found[-1].append(place)
    return found
