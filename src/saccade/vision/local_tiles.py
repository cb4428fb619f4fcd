"""Local attention in tiles: a square of queries is multiplied with all the keys around it. See `local_attention`.

The keys and values of all windows would be k^2 copies of the map. They are never made: a tile of pixels is multiplied
with all the keys that any of them needs, the tile and a halo around it, and what lies outside a pixel's own window is
masked. With tiles of 8 x 8 and windows of 7 x 7 that is 4 times the products, and they run at the rate of large matrix
products. The backward pass computes the weights again.

A score of position depends on the query and a row, or the query and a column, so that a tile's scores are one product
of longer vectors, as in `attention_2d`.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE = 8  # rows and columns of a tile of queries; with a 7 x 7 window, 4 to 10 take about the same time


class Span(NamedTuple):
    """A tile along one axis. Offsets and keys that there are not are clipped to the nearest."""

    queries: slice
    keys: slice
    """Those in the window of any of the queries."""
    offset: Int[Tensor, "q k"]
    """Of each key from each query, counted from the first of the window."""
    near: Bool[Tensor, "q k"]
    """Whether a key is in the window of a query."""
    key: Int[Tensor, "q o"]
    """The key at each offset."""
    exists: Bool[Tensor, "q o"]
    """Whether there is a key at an offset."""


def spans(queries: int, keys: int, window: int, device: torch.device) -> list[Span]:
    """The tiles along an axis, where the queries are in the middle of the keys."""
    reach, border, found = window // 2, (keys - queries) // 2, []
    for first in range(0, queries, TILE):
        last = min(first + TILE, queries)
        low, high = max(first + border - reach, 0), min(last + border + reach, keys)
        at = torch.arange(first, last, device=device)[:, None] + border
        offset = torch.arange(low, high, device=device) - at + reach
        key = torch.arange(window, device=device) + at - reach - low
        near, exists = (offset >= 0) & (offset < window), (key >= 0) & (key < high - low)
        clipped = offset.clamp(0, window - 1), key.clamp(0, high - low - 1)
        found.append(Span(slice(first, last), slice(low, high), clipped[0], near, clipped[1], exists))
    return found


class Tile(NamedTuple):
    """A rectangle of queries, and the rectangle of keys that is in their windows; n counts images and heads."""

    down: Span
    across: Span

    def asking(self, maps: Float[Tensor, "b h y x d"]) -> Float[Tensor, "b h v u d"]:
        return maps[:, :, self.down.queries, self.across.queries]

    def asked(self, maps: Float[Tensor, "b h y x d"]) -> Float[Tensor, "b h v u d"]:
        return maps[:, :, self.down.keys, self.across.keys]

    def query(self, query: Float[Tensor, "b h y x d"], placed: Sequence[Tensor]) -> Float[Tensor, "n q e"]:
        """[q, its score for each row of keys, and for each column of keys]."""
        parts = [self.asking(query)]
        if placed:
            by_row, by_column = map(self.asking, placed)
            parts += [taken(by_row, self.down.offset[:, None]), taken(by_column, self.across.offset)]
        return flat(torch.cat(parts, -1))

    def keys(self, keys: Float[Tensor, "b h y x d"], placed: bool) -> Float[Tensor, "n k e"]:
        """[k, one at its row, one at its column]."""
        parts = [self.asked(keys)]
        if placed:
            rows, columns = parts[0].shape[2:4]
            at_row = torch.eye(rows, dtype=keys.dtype, device=keys.device)[:, None]
            at_column = torch.eye(columns, dtype=keys.dtype, device=keys.device)
            parts += [ones.expand(*parts[0].shape[:4], ones.shape[-1]) for ones in (at_row, at_column)]
        return flat(torch.cat(parts, -1))

    def weights(self, query: Float[Tensor, "n q e"], keys: Float[Tensor, "n k e"]) -> Float[Tensor, "n q k"]:
        """Of each query, the weights of all keys of the tile: zero outside its own window."""
        near = self.down.near[:, None, :, None] & self.across.near[:, None]
        hidden = torch.zeros_like(near, dtype=query.dtype).masked_fill(~near, -torch.inf)
        return torch.baddbmm(hidden.flatten(2).flatten(0, 1)[None], query, keys.mT).softmax(-1)


def flat(maps: Float[Tensor, "b h y x d"]) -> Float[Tensor, "n p d"]:
    return maps.flatten(2, 3).flatten(0, 1)


def taken(maps: Float[Tensor, "b h y x d"], at: Int[Tensor, "..."]) -> Float[Tensor, "b h y x e"]:
    """The features at these places, which depend on the row or on the column."""
    return maps.gather(-1, at.expand(*maps.shape[:4], at.shape[-1]))


def read_in_tiles(
    window: int,
    query: Float[Tensor, "b h y x d"],
    keys: Float[Tensor, "b h v u d"],
    values: Float[Tensor, "b h v u c"],
    *placed: Tensor,
) -> Float[Tensor, "b h y x c"]:
    """What every query reads; `placed` are its scores for each offset of rows and of columns, if there are any."""
    down, across = (spans(query.shape[axis], keys.shape[axis], window, query.device) for axis in (2, 3))

    def read(tile: Tile) -> Tensor:
        weights = tile.weights(tile.query(query, placed), tile.keys(keys, bool(placed)))
        return (weights @ flat(tile.asked(values))).view(*tile.asking(query).shape[:4], values.shape[-1])

    return torch.cat([torch.cat([read(Tile(y, x)) for x in across], 3) for y in down], 2)


class Tiles(torch.autograd.Function):
    """`read_in_tiles`, which keeps its arguments alone and computes the weights again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, window: int, *given: Tensor) -> Tensor:
        ctx.window = window
        ctx.save_for_backward(*given)
        return read_in_tiles(window, *given)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        query, keys, values, *placed = ctx.saved_tensors
        of_query, of_keys, of_values = torch.empty_like(query), torch.zeros_like(keys), torch.zeros_like(values)
        of_placed = [torch.empty_like(by_offset) for by_offset in placed]
        axes = (spans(query.shape[axis], keys.shape[axis], ctx.window, query.device) for axis in (2, 3))
        with torch.autocast(slope.device.type, enabled=False):
            for tile in map(Tile._make, product(*axes)):
                asking, asked = tile.query(query, placed), tile.keys(keys, bool(placed))
                weights, above = tile.weights(asking, asked), flat(tile.asking(slope))
                of_weights = above @ flat(tile.asked(values)).mT
                of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
                # halos overlap, so gradients of keys and values are added
                for whole, part in (
                    (of_values, weights.mT @ above),
                    (of_keys, of_scores.mT @ asking[..., : query.shape[-1]]),
                ):
                    there = tile.asked(whole)
                    there += part.view(there.shape)
                there = tile.asking(of_query)
                of_asking = (of_scores @ asked).view(*there.shape[:4], asked.shape[-1])
                there.copy_(of_asking[..., : query.shape[-1]])
                if placed:
                    rows, columns = of_asking[..., query.shape[-1] :].split(tile.asked(keys).shape[2:4], -1)
                    down, across = tile.down, tile.across
                    tile.asking(of_placed[0]).copy_(taken(rows, down.key[:, None]) * down.exists[:, None])
                    tile.asking(of_placed[1]).copy_(taken(columns, across.key) * across.exists)
        return None, of_query, of_keys, of_values, *of_placed
