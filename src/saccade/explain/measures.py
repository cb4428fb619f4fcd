"""Measures of attention maps: entropy, distance, rollout and flow through all layers, and hard links.

Weights are (..., q, k), for each query a distribution over keys. Layers are in the order of the model.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saccade.core.errors import InvalidInput

Link = tuple[int, int]


def entropy(weights: Float[Tensor, "*b q k"]) -> Float[Tensor, "*b q"]:
    """The entropy of each query's weights: -sum_k w_k log w_k, in nats; 0 for a single key, log k for uniform
    weights."""
    found: Tensor = torch.special.entr(weights).sum(-1)
    return found


def distance(weights: Float[Tensor, "*b q k"]) -> Float[Tensor, "*b q"]:
    """The mean distance of each query's attention: sum_k w_qk |q - k|, in positions; the last query is at the last
    key."""
    queries, keys = weights.shape[-2:]
    here = torch.arange(queries, device=weights.device)[:, None] + keys - queries
    away = (here - torch.arange(keys, device=weights.device)).abs()
    return (weights * away).sum(-1)


def habits(
    weights: Float[Tensor, "*b t t"], separators: Bool[Tensor, " t"] | None = None
) -> dict[str, Float[Tensor, "*b"]]:
    """What heads of self-attention do (Clark et al. 2019, arXiv:1906.04341, section 3).

    The mean share of a query's weight on itself, on the positions before and after it (over the queries that have one),
    on the first position and on all separators; and the mean entropy of its weights, in nats. The shares overlap, such
    as where the first position is the one before.

    Args:
        separators: True at separators; without, their share is left out.
    """
    found = {
        "itself": weights.diagonal(0, -2, -1).mean(-1),
        "previous": _mean(weights.diagonal(-1, -2, -1)),
        "next": _mean(weights.diagonal(1, -2, -1)),
        "first": weights[..., 0].mean(-1),
    }
    if separators is not None:
        found["separators"] = weights[..., separators].sum(-1).mean(-1)
    return {**found, "entropy": entropy(weights).mean(-1)}


def _mean(found: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
    """The mean over the last axis; 0 of none."""
    return found.sum(-1) / max(1, found.shape[-1])


Fuse = Literal["mean", "max", "min"]


def rollout(
    layers: Iterable[Float[Tensor, "..."]], residual: float = 0.5, heads: Fuse = "mean"
) -> Float[Tensor, "b t t"]:
    """Attention rollout (Abnar & Zuidema 2020, arXiv:2005.00928): the share of each input in each output.

        A_l = (1 - r) mean_h W_l + r I,   R_l = A_l R_{l-1},   R_0 = I

    Args:
        layers: self-attention of each layer, (b, h, t, t) or (b, t, t), read one by one.
        residual: r, the share of the residual connection.
        heads: "max" or "min" over heads in place of the mean, after which each row is scaled to a sum of one.

    Raises:
        InvalidInput: no layers; maps that are not square or differ in size; a residual that is not between 0 and 1;
            another way to fuse heads.
    """
    if heads not in ("mean", "max", "min"):
        raise InvalidInput(f'heads must be "mean", "max" or "min", not {heads!r}')
    found: Tensor | None = None
    for weights in mean_heads(layers, heads):
        found = rolled(weights, found, residual)
    if found is None:
        raise InvalidInput("expected the weights of at least one layer")
    return found


def rolled(weights: Float[Tensor, "b t t"], below: Float[Tensor, "b t t"] | None, residual: float) -> Tensor:
    """Add a layer: A R, with R that of the layers below, None for the first."""
    if not 0 <= residual <= 1:
        raise InvalidInput(f"residual must be a share between 0 and 1, not {residual}")
    mixed = (1 - residual) * weights + residual * torch.eye(weights.shape[-1]).to(weights)
    return mixed if below is None else mixed @ below


def flow(layers: Iterable[Float[Tensor, "..."]], query: int, residual: float = 0.5) -> Float[Tensor, "b t"]:
    """Attention flow (Abnar & Zuidema 2020): the maximum flow from each input to one output, with weights as the
    capacities of edges.

    Args:
        layers, residual: as for `rollout`.
        query: position of the output.

    Raises:
        InvalidInput: as for `rollout`; no such position.
    """
    mixed = [rolled(weights, None, residual) for weights in mean_heads(layers)]
    if not mixed:
        raise InvalidInput("expected the weights of at least one layer")
    batch, size = mixed[0].shape[:2]
    if not isinstance(query, int) or not -size <= query < size:
        raise InvalidInput(f"expected a position from 0 to {size - 1}, not {query}")
    tables = [w.double().tolist() for w in mixed]
    found = [
        [most(capacities([table[b] for table in tables]), (len(tables), query % size), (0, key)) for key in range(size)]
        for b in range(batch)
    ]
    return torch.tensor(found, dtype=mixed[0].dtype, device=mixed[0].device)


def mean_heads(layers: Iterable[Tensor], fuse: Fuse = "mean") -> Iterator[Float[Tensor, "b t t"]]:
    """The mean over heads of each layer in turn, or their maximum or minimum with rows that sum to one.

    Raises:
        InvalidInput: maps that are not square or differ in size.
    """
    shape: torch.Size | None = None
    for weights in layers:
        mean = fused(weights, fuse) if weights.ndim == 4 else weights
        shape = shape or mean.shape
        if mean.shape != shape or mean.ndim != 3 or mean.shape[1] != mean.shape[2]:
            got = f"{tuple(weights.shape)}" + (f" after {tuple(shape)}" if shape != mean.shape else "")
            raise InvalidInput(f"expected self-attention of one size, (b, h, t, t) or (b, t, t); got {got}")
        yield mean


def fused(weights: Float[Tensor, "b h t s"], fuse: Fuse) -> Float[Tensor, "b t s"]:
    if fuse == "mean":
        return weights.mean(1)
    found = weights.amax(1) if fuse == "max" else weights.amin(1)
    total = found.sum(-1, keepdim=True)
    return found / torch.where(total == 0, 1, total)


Node = tuple[int, int]  # layer, position
Graph = dict[Node, dict[Node, float]]


def capacities(tables: Sequence[Sequence[Sequence[float]]]) -> Graph:
    """Edges from each position of a layer to those of the layer below, without reverse edges."""
    graph: Graph = {}
    for layer, table in enumerate(tables, start=1):
        for q, row in enumerate(table):
            for k, weight in enumerate(row):
                if weight > 0:
                    graph.setdefault((layer, q), {})[layer - 1, k] = weight
                    graph.setdefault((layer - 1, k), {}).setdefault((layer, q), 0.0)
    return graph


def most(graph: Graph, source: Node, sink: Node, least: float = 1e-12) -> float:
    """The maximum flow, along shortest augmenting paths (Edmonds & Karp 1972). Changes the graph."""
    total = 0.0
    while True:
        before: dict[Node, Node] = {source: source}
        waiting = [source]
        for node in waiting:
            for other, room in graph.get(node, {}).items():
                if room > least and other not in before:
                    before[other] = node
                    waiting.append(other)
        if sink not in before:
            return total
        path = [sink]
        while path[-1] != source:
            path.append(before[path[-1]])
        steps = list(zip(path[1:], path[:-1], strict=True))
        room = min(graph[a][b] for a, b in steps)
        for a, b in steps:
            graph[a][b] -= room
            graph[b][a] += room
        total += room


def links(weights: Float[Tensor, "q k"], mask: Bool[Tensor, " k"] | None = None) -> set[Link]:
    """Links (query, key) from each query to the key with its largest weight; none for a query without weights.

    Args:
        mask: keys that may be linked; by default all.
    """
    allowed = weights if mask is None else weights.masked_fill(~mask, 0.0)
    best = allowed.max(-1)
    return {(q, int(k)) for q, k in enumerate(best.indices.tolist()) if float(best.values[q]) > 0}


def symmetrised(forth: Iterable[Link], back: Iterable[Link], way: str = "intersection") -> set[Link]:
    """Combine links of both directions (Och & Ney 2003): those of `forth` are (a, b), those of `back` (b, a).

    Args:
        way: "intersection", "union", or "grow": the intersection, extended repeatedly by links of the union that are
            adjacent to it, also diagonally, and link a word without a link.

    Raises:
        InvalidInput: another way.
    """
    one, other = set(forth), {(a, b) for b, a in back}
    both, either = one & other, one | other
    if way == "intersection":
        return both
    if way == "union":
        return either
    if way != "grow":
        raise InvalidInput(f'a way must be "intersection", "union" or "grow", not {way!r}')
    while True:
        rows, columns = {a for a, _ in both}, {b for _, b in both}
        near = {(a + i, b + j) for a, b in both for i in (-1, 0, 1) for j in (-1, 0, 1)}
        new = {(a, b) for a, b in (either & near) - both if a not in rows or b not in columns}
        if not new:
            return both
        both |= {min(new)}
