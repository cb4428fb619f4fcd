"""XLNet. Yang et al. 2019, arXiv:1906.08237, sections 2.3 to 2.5.

    h_i^0 = E x_i,   g_i^0 = w
    h_{z_t} <- layer(Q = h_{z_t}, KV = [m; h_{z_1}..h_{z_t}])             content
    g_{z_t} <- layer(Q = g_{z_t}, KV = [m; h_{z_1}..h_{z_t-1}])           query, with the same weights
    p(x_{z_t} | x_{z_1}..x_{z_t-1}) = softmax(E g_{z_t} + b)

z order, m memory of the window before, w a learned vector. The query stream knows its position but not its symbol. A
layer is relative attention and a feed-forward layer, each with a residual connection and a norm of the sum.

A text is written and scored in the order 1..T: a query one place after the last symbol predicts the next one.
"""

from typing import Annotated, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from saccade.attention.multi_head import Cache
from saccade.attention.relative import RelativeAttention, RelativeHeads, distance_encodings
from saccade.core.config import Parts, Size, config
from saccade.core.growing import Growing
from saccade.nets.dropout import Dropout
from saccade.nets.projection import Projection
from saccade.nets.transformer import FeedForward, Residual
from saccade.systems.xlnet.orders import Order, masks

Share = Annotated[float, Field(ge=0, lt=1)]
EPSILON = 1e-12  # added to the variance in the norms


@config
class XLNetConfig:
    """Sizes of the net."""

    layers: Parts = 6
    """Layers, each of relative attention and a feed-forward layer."""
    model_size: Size = 192
    """Features of a position."""
    heads: Parts = 6
    """Heads of each attention."""
    hidden_size: Size | None = None
    """Units of a feed-forward layer; none: four times model_size."""
    memory: Annotated[int, Field(ge=0, le=1_000_000)] = 64
    """Symbols before a training window whose features are kept and attended to; 0: none."""
    segments: bool = False
    """Whether scores depend on whether two symbols are in the same segment. A text is one segment, so it only makes
    sense for weights from elsewhere."""
    dropout: Share = 0.1
    """Dropout rate of the embeddings and of the output of each sub-layer."""
    attention_dropout: Share = 0.0
    """Dropout rate of the attention weights."""

    @model_validator(mode="after")
    def check_heads(self) -> "XLNetConfig":
        if self.model_size % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a model-size of {self.model_size}")
        return self


class Streams(NamedTuple):
    """The features of both streams."""

    content: Float[Tensor, "b t d"]
    query: Float[Tensor, "b n d"]


class Sight(NamedTuple):
    """What the streams may see, and from where; the same for all layers."""

    encodings: Float[Tensor, "p d"]
    """Of the distances."""
    content: Bool[Tensor, "..."] | None
    """Mask of the keys, or of the scores."""
    query: Bool[Tensor, "..."] | None
    causal: bool = False
    ahead: int = 0
    """1 if each query is one place after the symbol of its row."""
    places: Int[Tensor, "b n"] | None = None
    """The place of each query of the query stream among the keys; None: they are the last ones."""
    own_places: Int[Tensor, "b t"] | None = None
    """The same, of the content stream."""
    key_places: Int[Tensor, "b k"] | None = None
    """The place of each key, where padding stands between them."""
    segments: Int[Tensor, "b k"] | None = None
    """Of the keys."""


class Layer(nn.Module):
    """Relative attention and feed-forward, of both streams."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        size = config.model_size
        self.attention = RelativeAttention(
            size, config.heads, segments=config.segments, dropout=config.attention_dropout
        )
        self.feed_forward = FeedForward(size, config.hidden_size or 4 * size, "gelu")
        self.attention_residual = Residual(size, config.dropout, "post", EPSILON)
        self.forward_residual = Residual(size, config.dropout, "post", EPSILON)

    def forward(
        self,
        streams: Streams,
        sight: Sight,
        memory: Float[Tensor, "b m d"] | None = None,
        past: Cache | None = None,
    ) -> tuple[Streams, Cache]:
        """The outputs of both streams, and the keys and values of the content.

        Args:
            memory: the content of the window before, at this layer.
            past: keys and values of the symbols before.
        """
        joined = streams.content if memory is None else torch.cat([memory, streams.content], 1)
        keys, values, distances = self.attention.project(joined, streams.content.shape[1], sight.encodings)
        if past is None:
            kept = Cache(Growing(keys, 2), Growing(values, 2))
        else:
            kept = Cache(past.keys.extended(keys), past.values.extended(values))
        heads = RelativeHeads(kept.keys.tensor, kept.values.tensor, distances)
        same_content, same_query = same_segment(sight, streams.content.shape[1])

        def content(x: Tensor) -> Tensor:
            return self.attention.attend(
                x, heads, sight.content, sight.causal, places=sight.own_places, key_places=sight.key_places,
                same=same_content,
            )  # fmt: skip

        def query(x: Tensor) -> Tensor:
            return self.attention.attend(
                x, heads, sight.query, sight.causal, ahead=sight.ahead, places=sight.places,
                key_places=sight.key_places, same=same_query,
            )  # fmt: skip

        found = []
        for features, attend in zip(streams, (content, query), strict=True):
            attended = self.attention_residual(features, attend)
            found.append(self.forward_residual(attended, self.feed_forward))
        return Streams(*found), kept


def same_segment(sight: Sight, length: int) -> tuple[Bool[Tensor, "b t k"] | None, Bool[Tensor, "b n k"] | None]:
    """Whether the queries of both streams are in the segment of each key."""
    segments, places = sight.segments, sight.places
    if segments is None:
        return None, None
    own = segments[:, segments.shape[1] - length :]
    of_queries = own if places is None else segments.gather(1, places)
    return own[:, :, None] == segments[:, None], of_queries[:, :, None] == segments[:, None]


class XLNet(nn.Module):
    """Predicts symbols in any order (Yang et al. 2019).

    Args:
        config: sizes.
        symbols: number of symbols.
        longest: the most symbols that are read at once when a text is scored or written.
    """

    def __init__(self, config: XLNetConfig, symbols: int, longest: int) -> None:
        super().__init__()
        self.config, self.longest = config, longest
        self.embedding = nn.Embedding(symbols, config.model_size)
        self.unknown = nn.Parameter(torch.empty(config.model_size))  # w
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.output_bias = nn.Parameter(torch.zeros(symbols))
        self.dropout = Dropout(config.dropout)
        self.reset_parameters()

    def reset_parameters(self, deviation: float = 0.02) -> None:
        """Normally distributed weights; biases of 0, norms of 1."""
        for name, weight in self.named_parameters():
            if name.endswith(("_bias", ".bias")):
                nn.init.zeros_(weight)
            elif "residual.norm" not in name:
                nn.init.normal_(weight, std=deviation)

    def forward(self, symbols: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"] | None = None) -> Projection:
        """The logits of the symbol after each, in the order 1..T. The mask is False at padding, on either side."""
        return self.project(self.advance(symbols, None, None, mask)[0])

    def advance(
        self,
        symbols: Int[Tensor, "b t"],
        places: Int[Tensor, "b t"] | None = None,
        past: tuple[Cache, ...] | None = None,
        mask: Bool[Tensor, "b k"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], tuple[Cache, ...]]:
        """The features of the query one place after each symbol, and the caches extended by these symbols.

        Args:
            symbols: one or more of each text.
            places: not used, since positions are relative, and are counted from the mask.
            past: the caches of an earlier call.
            mask: False at padding, over the past and the new symbols.
        """
        content = self.dropout(self.embedding(symbols))
        before = 0 if past is None else past[0].keys.tensor.shape[2]
        encodings = distance_encodings(symbols.shape[1], before + symbols.shape[1], content.shape[-1], content)
        sight = Sight(encodings, mask, mask, causal=True, ahead=1)
        if past is not None and mask is not None:  # padding may stand between the past and the new symbols
            all_places = mask.cumsum(1) - 1
            own = all_places[:, before:]
            sight = sight._replace(places=own + 1, own_places=own, key_places=all_places)
        streams, kept = Streams(content, self.start(symbols)), []
        for number, layer in enumerate(self.layers):
            streams, cache = layer(streams, sight, None, None if past is None else past[number])
            kept.append(cache)
        return self.dropout(streams.query), tuple(kept)

    def permuted(
        self,
        symbols: Int[Tensor, "b t"],
        order: Order,
        memory: Float[Tensor, "b l m d"] | None = None,
        mask: Bool[Tensor, "b t"] | None = None,
        segments: Int[Tensor, "b k"] | None = None,
    ) -> tuple[Streams, Float[Tensor, "b l kept d"]]:
        """The features of both streams in some order, and the memory of this window.

        Args:
            symbols: a window of each text.
            order: the order, and the positions of the query stream.
            memory: that of the window before.
            mask: False at padding.
            segments: the number of the segment of each symbol of memory and window; for a model with segments.
        """
        content = self.dropout(self.embedding(symbols))
        rows, length = content.shape[:2]
        before = 0 if memory is None else memory.shape[2]
        seen, targets = masks(order, before, mask), order.targets
        places = None if targets is None else before + targets
        encodings = distance_encodings(length, before + length, content.shape[-1], content)
        sight = Sight(encodings, seen.content, seen.query, places=places, segments=segments)
        streams, kept = Streams(content, self.start(order.ranks if targets is None else targets)), []
        first = max(0, before + length - self.config.memory)
        for number, layer in enumerate(self.layers):
            own = content.new_zeros(rows, 0, content.shape[-1]) if memory is None else memory[:, number].detach()
            kept.append(torch.cat([own, streams.content.detach()], 1)[:, first:])
            streams, _ = layer(streams, sight, own)
        return Streams(streams.content, self.dropout(streams.query)), torch.stack(kept, 1)

    def start(self, like: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """The query stream before the first layer."""
        return self.dropout(self.unknown.expand(*like.shape, -1))  # type: ignore[no-any-return]

    def project(self, features: Float[Tensor, "*b d"]) -> Projection:
        """The logits of features of the query stream."""
        return Projection(features, self.embedding.weight, self.output_bias)
