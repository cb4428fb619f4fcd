"""A masked language model: Transformer blocks that see both sides. Devlin et al. 2019, arXiv:1810.04805, section 3.

h_0 = dropout(LN(E x + P + S)),   h = blocks(h_0), post-norm, gelu                     S segments
p(x_t | the text with masks) = softmax(E LN(gelu(W h_t + b)) + c)                      t a chosen place
p(B follows A) = softmax(V tanh(U h_1 + u) + v)                                        h_1 that of the first symbol
"""

import math
from typing import Annotated, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.config import Parts, Size, config
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Step
from saccade.nets.blocks import Blocks
from saccade.nets.dropout import Dropout
from saccade.nets.projection import Projection

Share = Annotated[float, Field(ge=0, lt=1)]


@config
class MaskedLanguageModelConfig:
    """Sizes of the net."""

    layers: Parts = 4
    """Transformer blocks."""
    model_size: Size = 128
    """Features of a position."""
    heads: Parts = 4
    """Heads of each attention."""
    hidden_size: Size | None = None
    """Units of a feed-forward layer; none: four times model_size."""
    positions: Annotated[int, Field(ge=8, le=1_000_000)] = 128
    """Learned positions: the most symbols that are read, with the special ones."""
    dropout: Share = 0.1
    """Dropout rate of the embeddings and of the output of each sub-layer."""
    attention_dropout: Share = 0.0
    """Dropout rate of the attention weights (0.1 in the paper); above 0, training on a CPU is slower."""

    @model_validator(mode="after")
    def check_heads(self) -> "MaskedLanguageModelConfig":
        if self.model_size % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a model-size of {self.model_size}")
        return self


def initial(size: int) -> float:
    """The standard deviation of initial weights: 0.02 at 768 features and above, as published; larger below, where a
    sub-layer would pass on so little that the net learns for long only how frequent symbols are."""
    return 0.02 * math.sqrt(max(1.0, 768 / size))


class BidirectionalEncoder(nn.Module):
    """Symbols, positions and segments, read by post-norm blocks (Devlin et al. 2019).

    Args:
        config: sizes.
        symbols: number of symbols.
        segments: number of segments; the published RoBERTa has a table of one.
        unused: rows of the position table before the first position; RoBERTa's has two.
        epsilon: added to the variance in the norms.
    """

    def __init__(
        self,
        config: MaskedLanguageModelConfig,
        symbols: int,
        *,
        segments: int = 2,
        unused: int = 0,
        epsilon: float = 1e-12,
    ) -> None:
        super().__init__()
        size = config.model_size
        self.longest, self.unused = config.positions, unused
        self.symbols, self.segments = nn.Embedding(symbols, size), nn.Embedding(segments, size)
        self.positions = nn.Embedding(unused + config.positions, size)
        self.norm, self.dropout = nn.LayerNorm(size, epsilon), Dropout(config.dropout)
        self.stack = Blocks(
            config.layers, size, "post", epsilon, heads=config.heads, hidden_size=config.hidden_size or 4 * size,
            dropout=config.dropout, attention_dropout=config.attention_dropout, activation="gelu",
        )  # fmt: skip
        deviation = initial(size)
        self.stack.reset_parameters(deviation)
        for table in (self.symbols, self.segments, self.positions):
            nn.init.normal_(table.weight, std=deviation)

    def embedded(
        self,
        symbols: Int[Tensor, "b t"],
        mask: Bool[Tensor, "b t"] | None = None,
        segments: Int[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """h_0. Arguments as for `forward`."""
        if symbols.shape[1] > self.longest:
            raise InvalidInput(f"a text of {symbols.shape[1]} symbols is longer than the {self.longest} positions")
        if mask is None:
            places = torch.arange(symbols.shape[1], device=symbols.device)
        else:
            places = (mask.cumsum(1) - 1).clamp(min=0)  # from the first real symbol
        kinds = self.segments.weight[0] if segments is None else self.segments(segments)
        summed = self.symbols(symbols) + self.positions(places + self.unused) + kinds
        return self.dropout(self.norm(summed))  # type: ignore[no-any-return]

    def forward(
        self,
        symbols: Int[Tensor, "b t"],
        mask: Bool[Tensor, "b t"] | None = None,
        segments: Int[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The features h of all symbols.

        Args:
            mask: False at padding.
            segments: the number of each symbol's segment; by default 0.

        Raises:
            InvalidInput: more symbols than there are positions.
        """
        seen = None if mask is not None and mask.device.type == "cpu" and bool(mask.all()) else mask
        return self.stack(self.embedded(symbols, mask, segments), seen)  # type: ignore[no-any-return]


class MaskedLanguageModel(nn.Module):
    """An encoder that predicts masked symbols and, with a pooler, whether the second segment follows the first.

    Args:
        config: sizes.
        symbols: number of symbols.
        pairs: whether it reads pairs of segments and has a pooler.
        unused, epsilon: as for `BidirectionalEncoder`.
    """

    def __init__(
        self,
        config: MaskedLanguageModelConfig,
        symbols: int,
        *,
        pairs: bool,
        unused: int = 0,
        epsilon: float = 1e-12,
    ) -> None:
        super().__init__()
        size = config.model_size
        self.encoder = BidirectionalEncoder(
            config, symbols, segments=2 if pairs else 1, unused=unused, epsilon=epsilon
        )  # fmt: skip
        self.transform, self.norm = nn.Linear(size, size), nn.LayerNorm(size, epsilon)
        self.bias = nn.Parameter(torch.zeros(symbols))
        self.pooler = nn.Linear(size, size) if pairs else None
        self.follows = nn.Linear(size, 2) if pairs else None
        for linear in (self.transform, self.pooler, self.follows):
            if linear is not None:
                nn.init.normal_(linear.weight, std=initial(size))
                nn.init.zeros_(linear.bias)

    @property
    def longest(self) -> int:
        """The most symbols that are read."""
        return self.encoder.longest

    def forward(
        self,
        symbols: Int[Tensor, "b t"],
        mask: Bool[Tensor, "b t"] | None = None,
        segments: Int[Tensor, "b t"] | None = None,
        chosen: Bool[Tensor, "b t"] | None = None,
    ) -> tuple[Projection, Float[Tensor, "b 2"] | None]:
        """The logits of the chosen symbols (n, v), row by row, as a `Projection`, and the scores of "follows" and
        "from elsewhere" of each pair, or None without a pooler.

        Args:
            symbols: a text with masks.
            mask: False at padding.
            segments: the number of each symbol's segment; only read with pairs.
            chosen: True at the symbols to predict; by default all are, and the logits are (b, t, v).

        Raises:
            InvalidInput: more symbols than there are positions.
        """
        features = self.encoder(symbols, mask, segments if self.pooler is not None else None)
        wanted = features if chosen is None else features[chosen]
        projection = Projection(self.norm(F.gelu(self.transform(wanted))), self.encoder.symbols.weight, self.bias)
        if self.pooler is None or self.follows is None:
            return projection, None
        return projection, self.follows(self.pooler(features[:, 0]).tanh())


class Filling(NamedTuple):
    """A text filled in."""

    symbols: Int[Tensor, "b t"]
    """The texts with the most probable symbol in each chosen place."""
    nats: Float[Tensor, " b"]
    """-log p of the given symbols in the chosen places, summed, in float64."""
    follows: Float[Tensor, " b"] | None
    """The probability that the second segment follows the first."""


@torch.no_grad()
def fill(
    model: MaskedLanguageModel,
    symbols: Int[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    segments: Int[Tensor, "b t"],
    chosen: Bool[Tensor, "b t"],
    right: Int[Tensor, "b t"],
) -> Filling:
    """Predict the chosen symbols, each by itself.

    Args:
        symbols, mask, segments, chosen: as for the model.
        right: the symbols whose probability is returned.
    """
    projection, scores = model(symbols, mask, segments, chosen)
    filled, nats = symbols.clone(), torch.zeros(symbols.shape, dtype=torch.float64, device=symbols.device)
    if len(projection.features):
        filled[chosen] = projection.largest(1)[1][:, 0]
        nats[chosen] = -projection.rewards(right[chosen], -1).double()
    return Filling(filled, nats.sum(1), None if scores is None else scores.double().softmax(1)[:, 0])


@torch.no_grad()
def likeliest(
    model: MaskedLanguageModel,
    symbols: Int[Tensor, " t"],
    segments: Int[Tensor, " t"],
    chosen: Bool[Tensor, " t"],
    names: list[str],
    count: int,
) -> list[Step]:
    """The most probable symbol of each chosen place, with the `count` likeliest ones.

    Raises:
        InvalidInput: a count below 1, or above the number of symbols.
    """
    if not 1 <= count <= len(names):
        raise InvalidInput(f"expected from 1 to {len(names):,} likeliest symbols, got {count:,}")
    projection, _ = model(symbols[None], None, segments[None], chosen[None])
    found = zip(*(part.tolist() for part in projection.largest(count)), strict=True)
    rows = [[(names[symbol], value) for symbol, value in zip(best, values, strict=True)] for values, best in found]
    return [Step(*row[0], row) for row in rows]
