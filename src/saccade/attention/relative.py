"""Self-attention with relative positions and a memory of the segment before. Dai et al. 2019 (Transformer-XL),
arXiv:1901.02860, sections 3.2 and 3.3.

    h~ = [SG(m); h],   q_i = W_q h_i,   k_j = W_kE h~_j,   v_j = W_v h~_j
    a_ij = q_i . k_j + q_i . W_kR R_{i-j} + u . k_j + v . W_kR R_{i-j}
    y_i = W_o sum_j softmax_j(a_ij / sqrt(d)) v_j

h inputs, m memory, SG no gradient, u and v biases of content and position in each head, R sinusoids of the distance,
which is negative for a later key. Segments (XLNet, Yang et al. 2019, arXiv:1906.08237, section 2.5) add (q_i + b) . s
to a_ij, where s is s_+ if i and j are in one segment, and s_- if not.

The products with R are computed for each distance, not for each pair: row i of (q, distances) is shifted by i, which a
view of the same memory does.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.attention.dot_product import visible
from saccade.attention.positions import sinusoid
from saccade.core.errors import InvalidInput
from saccade.core.masks import masked_softmax, score_mask
from saccade.core.tap import Tap


class RelativeHeads(NamedTuple):
    """Projected keys and values of every head, and the projected distances k, k - 1, ... of k keys."""

    keys: Float[Tensor, "b h k c"]
    values: Float[Tensor, "b h k c"]
    distances: Float[Tensor, "h p c"]


def distance_encodings(queries: int, keys: int, features: int, like: Tensor) -> Float[Tensor, "p d"]:
    """R of the distances from `keys` down to 1 - `queries`, in the dtype and on the device of `like`."""
    precise = torch.float32 if like.device.type == "mps" else torch.float64
    places = torch.arange(keys, -queries, -1, device=like.device, dtype=precise)
    return sinusoid(places, features).to(like.dtype)


def relative_shift(products: Float[Tensor, "b h q p"], keys: int, ahead: int = 0) -> Float[Tensor, "b h q k"]:
    """Of the products with the distances keys, keys - 1, ..., those of each pair, as a view.

    The last query is at the place of the last key, or, if `ahead` is 1, one place after it.
    """
    rows, columns = products.shape[-2:]
    # in row-major order a step down is one row; rows that are shorter by one element start further left each time
    flat = products.flatten(-2)[..., rows - ahead :][..., : rows * (columns - 1)]
    found: Tensor = flat.unflatten(-1, (rows, columns - 1))[..., :keys]
    return found


class RelativeAttention(nn.Module):
    """Multi-head self-attention with relative positions (Dai et al. 2019).

    Args:
        model_size: features in and out, d_model.
        heads: number of heads.
        segments: whether a score depends on whether query and key are in the same segment (Yang et al. 2019).
        dropout: share of the attention weights dropped in training.

    Raises:
        InvalidInput: heads that do not divide the width; inputs of another width; a mask that is not bool of shape (b,
            k) or (b, h, q, k); segments without `segments=True`.
    """

    def __init__(self, model_size: int, heads: int, *, segments: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        check_sizes(model_size=model_size, heads=heads)
        if model_size % heads:
            raise InvalidInput(f"{heads} heads do not divide a width of {model_size}")
        self.head_size, self.dropout = model_size // heads, dropout
        self.query = nn.Linear(model_size, model_size, bias=False)
        self.key = nn.Linear(model_size, model_size, bias=False)
        self.value = nn.Linear(model_size, model_size, bias=False)
        self.position = nn.Linear(model_size, model_size, bias=False)
        self.output = nn.Linear(model_size, model_size, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(heads, self.head_size))
        self.position_bias = nn.Parameter(torch.zeros(heads, self.head_size))
        self.segment_bias = nn.Parameter(torch.zeros(heads, self.head_size)) if segments else None
        self.segment = nn.Parameter(torch.zeros(2, heads, self.head_size)) if segments else None  # s_+ and s_-
        self.weights = Tap("b h q k")
        for projection in (self.query, self.key, self.value, self.position, self.output):
            # as of `MultiHeadAttention`
            nn.init.xavier_uniform_(projection.weight, gain=1.0 if projection is self.output else 2**-0.5)

    def forward(
        self,
        inputs: Float[Tensor, "b t d"],
        memory: Float[Tensor, "b m d"] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
        causal: bool = False,
        segments: Int[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The outputs of all positions.

        Args:
            memory: the inputs of the positions before, to which no gradient flows.
            mask: of the keys (b, k), memory and inputs, or of the scores (b, h, q, k), where h and q may be 1; True =
                may be attended.
            causal: hide from each position the later ones.
            segments: the number of the segment of each key.
        """
        joined = inputs if memory is None else torch.cat([memory.detach(), inputs], 1)
        same = None if segments is None else segments[:, -inputs.shape[1] :, None] == segments[:, None]
        return self.attend(inputs, self.project(joined, inputs.shape[1]), mask, causal, same=same)

    def project(
        self, inputs: Float[Tensor, "b k d"], queries: int, encodings: Float[Tensor, "p d"] | None = None
    ) -> RelativeHeads:
        """Project keys, values and distances, for `queries` queries at the last places.

        Args:
            encodings: the result of `distance_encodings` for these queries and keys; none: it is computed.
        """
        if inputs.ndim != 3 or inputs.shape[-1] != self.key.in_features:
            wanted = f"(batch, positions, {self.key.in_features})"
            raise InvalidInput(f"expected inputs {wanted}, not {tuple(inputs.shape)}")
        if encodings is None:
            encodings = distance_encodings(queries, inputs.shape[1], inputs.shape[-1], inputs)
        distances = rearrange(self.position(encodings), "p (h c) -> h p c", c=self.head_size)
        return RelativeHeads(self._split(self.key(inputs)), self._split(self.value(inputs)), distances)

    def attend(
        self,
        query: Float[Tensor, "b q d"],
        heads: RelativeHeads,
        mask: Bool[Tensor, "..."] | None = None,
        causal: bool = False,
        *,
        ahead: int = 0,
        places: Int[Tensor, "b q"] | None = None,
        key_places: Int[Tensor, "b k"] | None = None,
        same: Bool[Tensor, "b q k"] | None = None,
    ) -> Float[Tensor, "b q d"]:
        """The outputs of queries, given projected keys.

        Args:
            mask: as in `forward`.
            causal: hide from the last query no key, from the one before it the last key, and so on.
            ahead: 0 if the last query is at the place of the last key, 1 if it is one place after it.
            places: the place of each query among the keys, from 0; by default they are the last ones.
            key_places: the place of each key, where padding stands between them; with `places` only.
            same: whether a query and a key are in the same segment.
        """
        split = self._split(self.query(query))
        scores = self.scores(split, heads, ahead, places, key_places)
        if same is not None:
            scores = scores + self._segment_scores(split, same)
        allowed = visible(split, heads.keys, score_mask(mask, tuple(scores.shape)), causal)
        weights = self.weights(masked_softmax(scores, allowed))
        contexts = F.dropout(weights, self.dropout, self.training) @ heads.values
        merged: Tensor = self.output(rearrange(contexts, "b h q c -> b q (h c)"))
        return merged

    def scores(
        self,
        query: Float[Tensor, "b h q c"],
        heads: RelativeHeads,
        ahead: int = 0,
        places: Int[Tensor, "b q"] | None = None,
        key_places: Int[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b h q k"]:
        """a_ij / sqrt(d) without that of the segments. Arguments as for `attend`."""
        keys, scale = heads.keys.shape[2], self.head_size**-0.5
        content: Tensor = (query + self.content_bias[:, None]) * scale @ heads.keys.mT
        # a batch of h products of (b q) rows, so that the distances are not repeated for every sequence
        products = torch.einsum(
            "bhqc,hpc->bhqp", (query + self.position_bias[:, None]) * scale, heads.distances.to(query.dtype)
        )
        if places is None:
            return content + relative_shift(products, keys, ahead)
        at = torch.arange(keys, device=query.device)[None] if key_places is None else key_places
        index = keys - places[:, None, :, None] + at[:, None, None]
        if key_places is not None:  # the place of padding may be out of range
            index = index.clamp(0, products.shape[-1] - 1)
        return content + products.gather(-1, index.expand(-1, query.shape[1], -1, -1))

    def _segment_scores(self, query: Float[Tensor, "b h q c"], same: Bool[Tensor, "b q k"]) -> Tensor:
        if self.segment is None or self.segment_bias is None:
            raise InvalidInput("expected an attention with segments=True, since segments are given")
        both = (query + self.segment_bias[:, None]) * self.head_size**-0.5 @ rearrange(self.segment, "s h c -> h c s")
        return torch.where(same[:, None], both[..., :1], both[..., 1:])

    def _split(self, projected: Float[Tensor, "b t d"]) -> Float[Tensor, "b h t c"]:
        # by the size of a head, since a shard of the weights has fewer heads
        split: Tensor = rearrange(projected, "b t (h c) -> b h t c", c=self.head_size)
        return split
