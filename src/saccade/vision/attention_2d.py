"""Global self-attention on feature maps. Bello et al. 2019, arXiv:1904.09925, section 3; and
Ramachandran et al. 2019, arXiv:1906.05909, equation 3, over the whole map. Bello et al. share the vectors of relative
positions between heads; here each head has its own.

    q, k, v = W_q x + b_q, W_k x + b_k, W_v x + b_v         at each pixel, for each head
    s_(yx)(uw) = q_yx . (k_uw + R_(u-y) + C_(w-x)) / sqrt(d)
    o_yx = W_o [sum_uw softmax_uw(s) v_uw; of all heads] + b_o

(y, x) is the pixel that asks, (u, w) one that is asked, d the features of a query. R and C, for offsets of rows and of
columns, are missing where only content counts. Equation 3 of Ramachandran et al. joins half a vector for the row and
half for the column: here, R that is zero in one half and C in the other. It has no sqrt(d).

The fused kernel computes both forms. A score of position depends on the query and a row, or the query and a column, so
that s is one product of longer vectors:

    [q, q . R_(1-y), ..., q . R_(Y-y), q . C_(1-x), ..., q . C_(X-x)] . [k, one at the key's row, one at its column]

A convolution is nine such heads (Cordonnier et al. 2020, arXiv:1911.03584, theorem 1): `from_convolution`.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.attention.content import check_sizes
from saccade.attention.dot_product import dot_product_weights, scaled_dot_product
from saccade.attention.multi_head import MultiHeadAttention
from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap
from saccade.vision.squeeze_excite import check_maps

SHARPNESS = 100.0  # alpha of `from_convolution`: of neighbours, exp(-100) is left


def offsets(table: Float[Tensor, "h o d"], size: int) -> Float[Tensor, "h q k d"]:
    """Of a table whose middle is offset 0, the vector of each key's offset from each query, along an axis of `size`."""
    at = torch.arange(size, device=table.device)
    return table[:, at - at[:, None] + table.shape[1] // 2]


def with_positions(
    query: Float[Tensor, "b h y x d"],
    keys: Float[Tensor, "b h y x d"],
    rows: Float[Tensor, "h r d"],
    columns: Float[Tensor, "h c d"],
) -> tuple[Float[Tensor, "b h q e"], Float[Tensor, "b h k e"]]:
    """Longer queries and keys whose scaled product is s: q . (k + R + C) / sqrt(d).

    Args:
        query: the query of each pixel.
        keys: the key of each pixel.
        rows: R, for offsets -(r - 1) / 2 to (r - 1) / 2; at least 2 y - 1 of them.
        columns: C, as `rows`; at least 2 x - 1.
    """
    height, width, features = query.shape[2:]
    by_row = torch.einsum("bhyxd,hyud->bhyxu", query, offsets(rows, height))
    by_column = torch.einsum("bhyxd,hxwd->bhyxw", query, offsets(columns, width))
    # the kernel divides by the root of the longer vectors' size
    scale = ((features + height + width) / features) ** 0.5
    asking = torch.cat([query, by_row.to(query.dtype), by_column.to(query.dtype)], -1) * scale
    at_row = torch.eye(height, dtype=keys.dtype, device=keys.device)[:, None].expand(*keys.shape[:4], height)
    at_column = torch.eye(width, dtype=keys.dtype, device=keys.device).expand(*keys.shape[:4], width)
    return asking.flatten(2, 3), torch.cat([keys, at_row, at_column], -1).flatten(2, 3)


class Attention2d(nn.Module):
    """Self-attention of every pixel to all pixels of its map (Bello et al. 2019), by the fused kernel.

    Args:
        channels: channels of the maps.
        heads: number of heads.
        largest: (rows, columns) of the largest maps, for learned vectors of relative positions, which each head has of
            its own; None: content only, for maps of any size.
        head_size: features of a query and of a key in a head, d; channels / heads by default.
        value_size: features of a value in a head; channels / heads by default.
        output_size: channels of the output; those of the input by default.
        bias: whether the four projections have biases.

    Raises:
        InvalidInput: a size below 1; heads that do not divide the channels; maps that are not (batch, channels, rows,
            columns), have no pixel, or are larger than `largest`; a mask that is not bool of shape (b, y, x).
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        largest: tuple[int, int] | None = None,
        head_size: int | None = None,
        value_size: int | None = None,
        output_size: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, heads=heads)
        if channels % heads and None in (head_size, value_size):
            raise InvalidInput(f"{heads} heads do not divide {channels} channels; give head_size and value_size")
        head_size, value_size = (channels // heads if size is None else size for size in (head_size, value_size))
        output_size = channels if output_size is None else output_size
        check_sizes(head_size=head_size, value_size=value_size, output_size=output_size)
        self.channels, self.heads, self.largest = channels, heads, largest
        self.query = nn.Linear(channels, heads * head_size, bias)
        self.key = nn.Linear(channels, heads * head_size, bias)
        self.value = nn.Linear(channels, heads * value_size, bias)
        self.output = nn.Linear(heads * value_size, output_size, bias)
        if largest is not None:
            check_sizes(rows=largest[0], columns=largest[1])
            self.rows = nn.Parameter(torch.empty(heads, 2 * largest[0] - 1, head_size))
            self.columns = nn.Parameter(torch.empty(heads, 2 * largest[1] - 1, head_size))
        self.weights = Tap("b h q k")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for projection in (self.query, self.key, self.value, self.output):
            nn.init.xavier_uniform_(projection.weight)
            if projection.bias is not None:
                nn.init.zeros_(projection.bias)
        if self.largest is not None:
            for table in (self.rows, self.columns):
                nn.init.normal_(table, std=table.shape[-1] ** -0.5)

    def forward(
        self, maps: Float[Tensor, "b c y x"], mask: Bool[Tensor, "b y x"] | None = None
    ) -> Float[Tensor, "b o y x"]:
        """What every pixel reads. Where the mask is False, a pixel is not attended.

        Queries and keys of the weights are the pixels row by row. An image in which nothing may be attended reads zeros
        (plus the bias of the output).
        """
        check_maps(maps, self.channels)
        height, width = maps.shape[2:]
        pixels = rearrange(maps, "b c y x -> b y x c")
        query, keys, values = (
            rearrange(projection(pixels), "b y x (h d) -> b h y x d", h=self.heads)
            for projection in (self.query, self.key, self.value)
        )
        if self.largest is None:
            query, keys = query.flatten(2, 3), keys.flatten(2, 3)
        elif height > self.largest[0] or width > self.largest[1]:
            at_most = " x ".join(map(str, self.largest))
            raise InvalidInput(f"maps must have at most {at_most} pixels for their positions, not {height} x {width}")
        else:
            query, keys = with_positions(query, keys, self.rows, self.columns)
        read = self._read(query, keys, values.flatten(2, 3), self._checked(mask, maps))
        merged: Tensor = self.output(rearrange(read, "b h (y x) d -> b y x (h d)", y=height))
        return rearrange(merged, "b y x o -> b o y x")

    def _read(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Float[Tensor, "b h q d"]:
        if self.weights.replacing:  # weights are computed only if a listener may replace them
            read: Tensor = self.weights(dot_product_weights(query, keys, mask)) @ values
            return read
        self.weights.lazy(lambda: dot_product_weights(query, keys, mask))
        return scaled_dot_product(query, keys, values, mask)

    def _checked(self, mask: Tensor | None, maps: Tensor) -> Bool[Tensor, "b 1 1 k"] | None:
        if mask is None:
            return None
        wanted = (len(maps), *maps.shape[2:])
        if mask.dtype != torch.bool or mask.shape != wanted:
            raise InvalidInput(f"a mask must be bool of shape {wanted}, not {mask.dtype} of {tuple(mask.shape)}")
        return mask.flatten(1)[:, None, None]


def from_convolution(convolution: nn.Conv2d, rows: int, columns: int) -> Attention2d:
    """A convolution as self-attention, one head for each place of its kernel: nine for 3 x 3 (Cordonnier et al. 2020,
    theorem 1).

    The head of the place (i, j) has the scores -alpha |offset - (i, j)|^2, less a constant, from the three features
    (|offset|^2, row offset, column offset) of a position: all its weight is on one pixel. Beyond the border that is the
    nearest pixel of the map, as with `padding_mode="replicate"`; away from the border every padding is the same.

    Args:
        convolution: stride 1, dilation 1, one group, odd kernel.
        rows: rows of the largest maps.
        columns: columns of the largest maps.

    Raises:
        InvalidInput: another convolution; a size below 1.
    """
    (height, width), weight = convolution.kernel_size, convolution.weight.detach()
    if convolution.stride != (1, 1) or convolution.dilation != (1, 1) or convolution.groups != 1:
        raise InvalidInput("the convolution must have stride 1, dilation 1 and one group")
    if height % 2 == 0 or width % 2 == 0:
        raise InvalidInput(f"the convolution must have an odd kernel, not {height} x {width}")
    outputs, channels, heads = *weight.shape[:2], height * width
    attention = Attention2d(
        channels, heads, largest=(rows, columns), head_size=3, value_size=channels, output_size=outputs, bias=True
    ).to(weight)
    places = torch.cartesian_prod(torch.arange(height) - height // 2, torch.arange(width) - width // 2).to(weight)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        asked = torch.cat([torch.ones_like(places[:, :1]), -2 * places], 1)  # of offset and place, |o|^2 - 2 o . p
        attention.query.bias.copy_((-SHARPNESS * 3**0.5 * asked).flatten())
        for axis, table in enumerate((attention.rows, attention.columns)):
            offset = torch.arange(table.shape[1]).to(weight) - table.shape[1] // 2
            table[..., 0], table[..., 1 + axis] = offset**2, offset
        attention.value.weight.copy_(torch.eye(channels).repeat(heads, 1))
        attention.output.weight.copy_(rearrange(weight, "o c i j -> o (i j c)"))
        if convolution.bias is not None:
            attention.output.bias.copy_(convolution.bias)
    return attention


class MultiHeadSelfAttention(nn.Module):
    """Multi-head self-attention on a sequence of tokens, called as the class of this name in the library
    self-attention-cv: `MultiHeadSelfAttention(dim=64)(tokens)`.

    It is `MultiHeadAttention(dim, heads)` of the tokens to themselves. In that library a mask is (t, t), and True is a
    token that may not be attended; here True is one that may.

    Args:
        dim: features of a token.
        heads: number of heads.
        dim_head: features of a query, a key and a value in a head; dim / heads by default.

    Raises:
        InvalidInput: a size below 1; heads that do not divide `dim`; tokens that are not (batch, tokens, dim).
    """

    def __init__(self, dim: int, heads: int = 8, dim_head: int | None = None) -> None:
        super().__init__()
        check_sizes(dim=dim)
        self.attention = MultiHeadAttention(dim, heads, head_size=dim_head, value_size=dim_head)

    def forward(self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "..."] | None = None) -> Float[Tensor, "b t d"]:
        """What every token reads of all tokens. The mask is (b, t) or (b, h, t, t), where h may be 1."""
        read: Tensor = self.attention(x, x, mask)
        return read
