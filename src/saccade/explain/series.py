"""Determine which calls of a module are steps of one map, and which are separate maps.

A decoder that generates step by step has one or a few queries at a time, and each step adds its keys to those of
earlier steps. A module that is called in both directions, once per head, or on different inputs produces several maps.
Ambiguous calls are separate maps.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Call(NamedTuple):
    """A call of a module.

    forward: number of the model's forward pass. others: the sizes of the axes before queries and keys, with their
        letters. queries, keys: their numbers. gone: number of keys that the cache had dropped. apart: True if it never
        continues an earlier map.
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
    """The positions of the calls that make up each map, in order; maps are ordered by their first call."""
    forwards: dict[int, list[int]] = {}
    for place, call in enumerate(calls):
        forwards.setdefault(call.forward, []).append(place)
    together = list(forwards.values())
    if not any(is_parallel([calls[place] for place in places]) for places in together) and not grow(calls, together):
        # several calls in one forward are the steps of a recurrent decoder; another forward starts a new map
        return [found for several in runs_of(together) for found in steps(calls, several)]
    if len({len(places) for places in together}) > 1:
        return [[place] for place in range(len(calls))]
    lanes = [found for lane in zip(*together, strict=True) for found in steps(calls, lane)]
    return sorted(lanes)


def is_parallel(calls: Sequence[Call]) -> bool:
    """Whether the calls of one forward are separate maps."""
    return len(steps(calls, range(len(calls)))) > 1


def grow(calls: Sequence[Call], together: Sequence[Sequence[int]]) -> bool:
    """Whether forwards with several calls are themselves steps, each of which adds keys."""
    if len(together) < 2 or any(len(places) < 2 for places in together):
        return False
    lanes = zip(*together, strict=False)
    return all(
        calls[later].queries and calls[later].end == calls[earlier].end + calls[later].queries
        for lane in lanes
        for earlier, later in pairwise(lane)
    )


def runs_of(together: Sequence[Sequence[int]]) -> list[list[int]]:
    """Group forwards with one call each; a forward with several calls is on its own."""
    runs: list[list[int]] = []
    alone = True
    for places in together:
        if alone or len(places) > 1:
            runs.append([])
        runs[-1] += places
        alone = len(places) > 1
    return runs


def steps(calls: Sequence[Call], places: Sequence[int]) -> list[list[int]]:
    """Split the calls, in order, wherever a call does not continue the previous one."""
    found: list[list[int]] = []
    grown = False  # whether each step so far has added keys
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
