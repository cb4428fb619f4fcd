"""Stand-alone self-attention: every pixel attends to a window around it. Ramachandran et al. 2019, arXiv:1906.05909.

    y_ij = sum_ab softmax_ab(q_ij . k_ab) v_ab                      (a, b) in the window N_k(i, j)      equation 2
    y_ij = sum_ab softmax_ab(q_ij . k_ab + q_ij . r_(a-i)(b-j)) v_ab                                             3
    q, k, v = W_Q x, W_K x, W_V x                                   at each pixel, for each head

N_k(i, j) are the k x k pixels around (i, j). r joins two vectors of half the features each: one for the offset of rows,
a - i, one for the offset of columns, b - j. There is no division by sqrt(d), no bias and no output projection. In
the paper's text a head projects its own group of channels; its 18.0 M parameters of ResNet-50 are those of matrices
over all channels, as here. With a stride, means of stride x stride pixels follow the attention, as in the paper.

Two border rules: under "mask" the keys outside the image take no part, under "pad" they are zeros that take part, as
in many copies: then a window at the border gives the image less weight.

The attention stem attends within blocks of 4 x 4 pixels, with values that mix several projections by the place (a, b)
of a pixel in its block:

    v_ab = (sum_m p_abm W_V^m) x_ab                                                                     equation 4
    p_abm = softmax_m((row_a + column_b) . nu_m)                                                                 5
"""

from itertools import product
from typing import Any, Literal, get_args

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.attention.dot_product import dot_product_weights, scaled_dot_product
from saccade.core.errors import InvalidInput
from saccade.core.masks import masked_softmax
from saccade.core.own_backward import own_backward
from saccade.core.tap import Tap
from saccade.vision.local_tiles import Tiles, read_in_tiles, together, without_autocast
from saccade.vision.squeeze_excite import check_maps

Border = Literal["mask", "pad"]


def scores_of_offsets(
    query: Float[Tensor, "b h y x d"], rows: Float[Tensor, "h o e"], columns: Float[Tensor, "h o f"]
) -> tuple[Float[Tensor, "b h y x o"], Float[Tensor, "b h y x o"]]:
    """q . r in two parts: of each query, for each offset of rows, and for each offset of columns."""
    halves = query.split([rows.shape[-1], columns.shape[-1]], -1)
    by_row, by_column = (
        torch.einsum("bhyxd,hod->bhyxo", half, table.to(query.dtype)).to(query.dtype)
        for half, table in zip(halves, (rows, columns), strict=True)
    )
    return by_row, by_column


def local_attention(
    query: Float[Tensor, "b h y x d"],
    keys: Float[Tensor, "b h y x d"],
    values: Float[Tensor, "b h y x c"],
    window: int,
    rows: Float[Tensor, "h o e"] | None = None,
    columns: Float[Tensor, "h o f"] | None = None,
    border: Border = "mask",
) -> Float[Tensor, "b h y x c"]:
    """y of equation 3, or without rows and columns of equation 2.

    Args:
        query: q of each pixel.
        keys: k of each pixel.
        values: v of each pixel.
        window: rows and columns of the window, k, odd.
        rows: for each offset of rows, from -(k - 1) / 2, the first part of r.
        columns: for each offset of columns, the second part of r, with e + f = d.
        border: whether keys outside the image take no part ("mask") or are zeros ("pad").
    """
    placed = () if rows is None or columns is None else scores_of_offsets(query, rows, columns)
    if border == "pad":
        keys, values = (F.pad(maps, (0, 0, *[window // 2] * 4)) for maps in (keys, values))
    read = Tiles.apply if own_backward() else read_in_tiles
    images = together(query, window)
    with without_autocast(query.device):
        parts = zip(*(given.split(images) for given in (query, keys, values, *placed)), strict=True)
        return torch.cat([read(window, *part) for part in parts])


def window_weights(
    query: Float[Tensor, "b h y x d"],
    keys: Float[Tensor, "b h y x d"],
    window: int,
    rows: Float[Tensor, "h o e"] | None = None,
    columns: Float[Tensor, "h o f"] | None = None,
    border: Border = "mask",
) -> Float[Tensor, "b h q k"]:
    """The weights of each pixel's window, pixels and windows row by row: k^2 numbers a pixel, one shift at a time."""
    scores = torch.stack([(query * seen).sum(-1) for seen in shifted(keys, window)], -1)
    if rows is not None and columns is not None:
        by_row, by_column = scores_of_offsets(query, rows, columns)
        scores = scores + (by_row[..., :, None] + by_column[..., None, :]).flatten(-2)
    inside = None
    if border == "mask":
        inside = torch.stack(shifted(torch.ones_like(keys[:1, :1, ..., :1]), window), -1)[..., 0, :] > 0
    return masked_softmax(scores, inside).flatten(2, 3)


def read_windows(
    weights: Float[Tensor, "b h q k"], values: Float[Tensor, "b h y x c"], window: int
) -> Float[Tensor, "b h y x c"]:
    """What the pixels read with these weights."""
    shares = weights.unflatten(2, values.shape[2:4]).unbind(-1)
    moved = zip(shares, shifted(values, window), strict=True)
    read: Tensor = sum((share[..., None] * seen for share, seen in moved), torch.zeros_like(values))
    return read


def shifted(maps: Float[Tensor, "b h y x d"], window: int) -> list[Float[Tensor, "b h y x d"]]:
    """For each offset of the window, what every pixel sees there; zero outside the image."""
    (height, width), padded = maps.shape[2:4], F.pad(maps, (0, 0, *[window // 2] * 4))
    return [padded[:, :, i : i + height, j : j + width] for i, j in product(range(window), repeat=2)]


class LocalAttention2d(nn.Module):
    """Self-attention in a window around every pixel, in the place of a convolution (Ramachandran et al. 2019).

    Called with the first three arguments it is what `ResNet(spatial=...)` puts in the place of a 3 x 3 convolution.

    Args:
        channels_in: channels of the maps.
        channels_out: channels of the output; queries, keys and values of a head have channels_out / heads features.
        stride: means of stride x stride pixels follow the attention; the last row and column may have fewer.
        window: rows and columns of the window, k, odd.
        heads: number of heads.
        border: whether keys outside the image take no part ("mask") or are zeros ("pad").
        relative: whether there are vectors r of relative rows and columns (equation 3), which each head has of its own.

    The paper does not state how weights begin. Here those of queries are divided by sqrt(d), so that scores begin near
    1, as those of attention that divides by it.

    Raises:
        InvalidInput: a size below 1; an even window; heads that do not divide the output's channels; with r, an odd
            number of features in a head; maps that are not (batch, channels, rows, columns), or have no pixel.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        stride: int = 1,
        *,
        window: int = 7,
        heads: int = 8,
        border: Border = "mask",
        relative: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(channels_in=channels_in, channels_out=channels_out, stride=stride, window=window, heads=heads)
        if window % 2 == 0:
            raise InvalidInput(f"window must be odd, not {window}")
        if border not in get_args(Border):
            raise InvalidInput(f"border must be mask or pad, not {border}")
        features = head_features(channels_out, heads)
        if relative and features % 2:
            raise InvalidInput(
                f"features of a head must be even, half for rows and half for columns, not {features}; "
                f"with relative=False any number will do"
            )
        self.channels, self.heads, self.stride, self.window, self.border = channels_in, heads, stride, window, border
        self.query, self.key, self.value = (nn.Linear(channels_in, channels_out, False) for _ in range(3))
        self.rows = nn.Parameter(torch.empty(heads, window, features // 2)) if relative else None
        self.columns = nn.Parameter(torch.empty(heads, window, features // 2)) if relative else None
        self.weights = Tap("b h q k")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        begin(self.query, self.key, self.value, self.heads)
        for table in (self.rows, self.columns):
            if table is not None:
                nn.init.normal_(table)

    def in_windows(self, maps: Float[Tensor, "b c y x"]) -> int:
        """Multiply-adds of equation 3 for such maps: projections, and k^2 keys, k^2 values and r of each window."""
        features, placed = self.query.out_features, 0 if self.rows is None else self.window
        return maps[:, 0].numel() * features * (3 * self.channels + 2 * self.window**2 + placed)

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b o v u"]:
        """What every pixel reads; rows and columns divided by the stride, rounded up.

        Queries of the weights are the pixels row by row, and keys the places of a window row by row.
        """
        check_maps(maps, self.channels)
        pixels = rearrange(maps, "b c y x -> b y x c")
        query, keys, values = (
            rearrange(projection(pixels), "b y x (h d) -> b h y x d", h=self.heads)
            for projection in (self.query, self.key, self.value)
        )
        options: Any = (self.window, self.rows, self.columns, self.border)
        if self.weights.replacing:
            y = read_windows(self.weights(window_weights(query, keys, *options)), values, self.window)
        else:
            self.weights.lazy(lambda: window_weights(query, keys, *options))
            y = local_attention(query, keys, values, *options)
        # the channels of a pixel stay together in memory, as batch norm and convolutions like them
        made: Tensor = rearrange(y, "b h y x d -> b y x (h d)").permute(0, 3, 1, 2)
        if self.stride > 1:
            made = F.avg_pool2d(made, self.stride, ceil_mode=True)
        return made

    def extra_repr(self) -> str:
        return f"stride={self.stride}, window={self.window}, heads={self.heads}, border={self.border}"


class AttentionStem(nn.Module):
    """Self-attention of the pixels of each block of an image, with values that differ by place (Ramachandran et al.
    2019, equations 4 and 5). In the paper's network a batch norm and 4 x 4 max pooling follow.

    Args:
        channels_in: channels of the images.
        channels_out: channels of the output; a head has channels_out / heads features.
        heads: number of heads.
        block: rows and columns of a block; blocks at the end of an image may have fewer.
        mixtures: number of projections W_V^m.

    Raises:
        InvalidInput: a size below 1; heads that do not divide the output's channels; images that are not (batch,
            channels, rows, columns), or have no pixel.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, heads: int = 8, block: int = 4, mixtures: int = 4
    ) -> None:
        super().__init__()
        check_sizes(channels_in=channels_in, channels_out=channels_out, heads=heads, block=block, mixtures=mixtures)
        features = head_features(channels_out, heads)
        self.channels, self.heads, self.block = channels_in, heads, block
        self.query, self.key = (nn.Linear(channels_in, channels_out, False) for _ in range(2))
        self.value = nn.Linear(channels_in, mixtures * channels_out, False)
        self.rows, self.columns = (nn.Parameter(torch.empty(block, features)) for _ in range(2))
        self.mixtures = nn.Parameter(torch.empty(mixtures, features))
        self.weights = Tap("b h q k")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        begin(self.query, self.key, self.value, self.heads)
        for table in (self.rows, self.columns, self.mixtures):
            nn.init.normal_(table, std=table.shape[-1] ** -0.25)  # products near 1

    def shares(self) -> Float[Tensor, "k m"]:
        """p, for each place of a block the shares of the projections."""
        places = (self.rows[:, None] + self.columns).flatten(0, 1)
        return (places @ self.mixtures.mT).softmax(-1)

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b o y x"]:
        """What every pixel reads. The b of the weights counts the blocks of all images."""
        check_maps(images, self.channels)
        height, width = images.shape[2:]
        missing = (0, -width % self.block, 0, -height % self.block)
        sizes = {"i": self.block, "j": self.block}
        blocks = rearrange(F.pad(images, missing), "b c (v i) (u j) -> (b v u) (i j) c", **sizes)
        there = F.pad(torch.ones_like(images[:1, :1], dtype=torch.bool), missing)
        mask = rearrange(there.expand(len(images), -1, -1, -1), "b 1 (v i) (u j) -> (b v u) 1 1 (i j)", **sizes)
        mixed = torch.einsum("km,moc->koc", self.shares(), self.value.weight.unflatten(0, (-1, self.key.out_features)))
        query, keys, values = (
            rearrange(maps, "n k (h d) -> n h k d", h=self.heads)
            for maps in (self.query(blocks), self.key(blocks), torch.einsum("nkc,koc->nko", blocks, mixed))
        )
        query = query * query.shape[-1] ** 0.5  # the equation does not divide by it
        if self.weights.replacing:
            y = self.weights(dot_product_weights(query, keys, mask)) @ values
        else:
            self.weights.lazy(lambda: dot_product_weights(query, keys, mask))
            y = scaled_dot_product(query, keys, values, mask)
        high, wide = (-(-size // self.block) for size in (height, width))
        made = rearrange(y, "(b v u) h (i j) d -> b (h d) (v i) (u j)", v=high, u=wide, **sizes)
        inside: Tensor = made[..., :height, :width]
        return inside


def head_features(channels: int, heads: int) -> int:
    """Features of a head.

    Raises:
        InvalidInput: heads that do not divide the channels.
    """
    if channels % heads:
        raise InvalidInput(f"{heads} heads do not divide {channels} channels")
    return channels // heads


def begin(query: nn.Linear, key: nn.Linear, value: nn.Linear, heads: int) -> None:
    """First weights, with which scores are near 1 for inputs near 1."""
    for projection in (query, key, value):
        nn.init.xavier_uniform_(projection.weight)
    with torch.no_grad():
        query.weight.mul_((query.out_features / heads) ** -0.5)
