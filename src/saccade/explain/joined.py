"""The calls of a module as maps: those that are steps of one map are joined."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.explain.attention_map import AttentionMap
from saccade.explain.series import Call, series


def end_to_end(name: str, axis: str, calls: list[Tensor], maps: Sequence[AttentionMap]) -> Tensor:
    if not calls:
        raise InvalidInput(f"{name} was not called during the capture")
    axes = maps[0].axes
    if axis == axes[-2]:
        calls = in_columns(calls, [each.gone for each in maps])
    place = axes.index(axis)
    if len({(each.axes, *call.shape[:place], *call.shape[place + 1 :])
            for each, call in zip(maps, calls, strict=True)}) > 1:  # fmt: skip
        raise InvalidInput(not_joined(name, axis, calls))
    return torch.cat(calls, dim=place)


def steps_of_maps(maps: Sequence[AttentionMap], calls: Sequence[Tensor]) -> list[list[int]]:
    """The positions of the calls that make up each map."""
    if any(each.axes[-2:] != ("q", "k") for each in maps):
        return [list(range(len(calls)))]
    return series([call_of(each, call) for each, call in zip(maps, calls, strict=True)])


def call_of(heard: AttentionMap, weights: Tensor) -> Call:
    """The properties of a call that determine whether it is a step."""
    queries, keys = heard.sizes or tuple(weights.shape[-2:])
    return Call(heard.forward, (heard.axes, *weights.shape[:-2]), queries, keys, heard.gone, heard.apart)


def in_columns(calls: Sequence[Tensor], gone: Sequence[int]) -> list[Tensor]:
    """Place each key in the same column in all calls, with 0 if a call does not have it."""
    first = min(gone)
    last = max(before + call.shape[-1] for before, call in zip(gone, calls, strict=True))
    return [
        F.pad(call, (before - first, last - before - call.shape[-1])) for before, call in zip(gone, calls, strict=True)
    ]


def not_joined(name: str, axis: str, calls: Sequence[Tensor]) -> str:
    got = ", ".join(map(str, sorted({tuple(call.shape) for call in calls})))
    return f"{name}: these calls cannot be concatenated along {axis!r}: {got}"
