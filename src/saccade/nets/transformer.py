"""Transformer blocks. Vaswani et al. 2017, arXiv:1706.03762, section 3.1 and equation 2.

    feed_forward(x) = max(0, x W_1 + b_1) W_2 + b_2
    post-norm:  x <- LayerNorm(x + dropout(f(x)))            as in the paper; every sub-layer f ends in a norm
    pre-norm:   x <- x + dropout(f(LayerNorm(x)))            the sum is not normalised, so the stack ends in a norm
                                                             (Xiong et al. 2020, arXiv:2002.04745)

A decoder that generates step by step keeps the projected keys and values of earlier positions (`Cache`), one per layer.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.multi_head import Cache, Heads, MultiHeadAttention
from saccade.nets.dropout import Dropout

Norm = Literal["post", "pre"]


Activation = Literal["relu", "gelu", "gelu-tanh"]
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "gelu": F.gelu,
    "gelu-tanh": partial(F.gelu, approximate="tanh"),
}
"""The rectifier; x Phi(x) (Hendrycks & Gimpel 2016, arXiv:1606.08415); and its approximation by a tanh."""


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, applied to each position (equation 2).

    Args:
        model_size: features in and out, d_model.
        hidden_size: features of the hidden layer, d_ff.
        activation: "relu" as in the paper, "gelu", or "gelu-tanh".
    """

    def __init__(self, model_size: int, hidden_size: int, activation: Activation = "relu") -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.hidden = nn.Linear(model_size, hidden_size)
        self.output = nn.Linear(hidden_size, model_size)
        for layer in (self.hidden, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, inputs: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        outputs: Tensor = self.output(self.activation(self.hidden(inputs)))
        return outputs


class Residual(nn.Module):
    """A residual connection around a sub-layer: dropout, the sum, and a norm of the sum or of the input.

    Args:
        model_size: features.
        dropout: share of the sub-layer's output dropped in training.
        norm: "post" or "pre".
        epsilon: added to the variance in the norm.
    """

    def __init__(self, model_size: int, dropout: float, norm: Norm, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(model_size, epsilon)
        self.dropout = Dropout(dropout)
        self.place = norm

    def forward(self, inputs: Float[Tensor, "b t d"], sublayer: Callable[[Tensor], Tensor]) -> Float[Tensor, "b t d"]:
        if self.place == "pre":
            return inputs + self.dropout(sublayer(self.norm(inputs)))  # type: ignore[no-any-return]
        return self.norm(inputs + self.dropout(sublayer(inputs)))  # type: ignore[no-any-return]


class EncoderBlock(nn.Module):
    """Self-attention and feed-forward.

    Args:
        model_size: features, d_model.
        heads: number of attention heads.
        hidden_size: features of the feed-forward layer, d_ff.
        dropout: share of each sub-layer's output dropped in training.
        norm: "post" as in the paper, or "pre".
        head_size, value_size: features of a head, d_k and d_v; model_size / heads by default.
    """

    def __init__(
        self,
        model_size: int,
        heads: int,
        hidden_size: int,
        dropout: float = 0.1,
        norm: Norm = "post",
        head_size: int | None = None,
        value_size: int | None = None,
    ) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(model_size, heads, head_size=head_size, value_size=value_size)
        self.feed_forward = FeedForward(model_size, hidden_size)
        self.self_residual = Residual(model_size, dropout, norm)
        self.forward_residual = Residual(model_size, dropout, norm)

    def forward(self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None) -> Tensor:
        attended = self.self_residual(inputs, lambda x: self.self_attention(x, x, mask))
        return self.forward_residual(attended, self.feed_forward)  # type: ignore[no-any-return]


class DecoderBlock(nn.Module):
    """Causal self-attention, attention to the memory, and feed-forward. Arguments as for `EncoderBlock`."""

    def __init__(
        self,
        model_size: int,
        heads: int,
        hidden_size: int,
        dropout: float = 0.1,
        norm: Norm = "post",
        head_size: int | None = None,
        value_size: int | None = None,
    ) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(model_size, heads, head_size=head_size, value_size=value_size)
        self.cross_attention = MultiHeadAttention(model_size, heads, head_size=head_size, value_size=value_size)
        self.feed_forward = FeedForward(model_size, hidden_size)
        self.self_residual = Residual(model_size, dropout, norm)
        self.cross_residual = Residual(model_size, dropout, norm)
        self.forward_residual = Residual(model_size, dropout, norm)

    def forward(
        self, inputs: Float[Tensor, "b t d"], memory: Float[Tensor, "b k d"], mask: Bool[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """The outputs of a whole sequence. The mask is that of the memory: True = may be attended."""
        outputs, _ = self.advance(inputs, self.cross_attention.prepare(memory, mask))
        return outputs

    def advance(
        self,
        inputs: Float[Tensor, "b t d"],
        memory: Heads,
        past: Cache | None = None,
        seen: Bool[Tensor, "#b #h t k"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], Cache]:
        """The outputs of these positions, and the cache extended by them.

        Args:
            inputs: one or more positions, after those of `past`.
            memory: the encoder's outputs, prepared by `cross_attention.prepare`.
            past: the cache of an earlier call.
            seen: the positions, those of `past` first, that each input may see; by default those up to its own.
        """
        kept: list[Cache] = []

        def see_the_past(x: Tensor) -> Tensor:
            kept.append(self.self_attention.extend(past, x))
            return self.self_attention.attend(x, kept[0].heads, seen, causal=seen is None)

        attended = self.self_residual(inputs, see_the_past)
        attended = self.cross_residual(attended, lambda x: self.cross_attention.attend(x, memory))
        return self.forward_residual(attended, self.feed_forward), kept[0]


class TransformerEncoder(nn.Module):
    """A stack of encoder blocks.

    Args:
        layers: blocks, N.
        norm: "post" or "pre".
        block: further arguments of `EncoderBlock`.
    """

    def __init__(self, layers: int, model_size: int, norm: Norm = "post", **block: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(EncoderBlock(model_size, norm=norm, **block) for _ in range(layers))
        self.norm = nn.LayerNorm(model_size) if norm == "pre" else nn.Identity()

    def forward(
        self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """The memory. The mask is that of the keys: True = may be attended."""
        for block in self.blocks:
            inputs = block(inputs, mask)
        return self.norm(inputs)  # type: ignore[no-any-return]


class TransformerDecoder(nn.Module):
    """A stack of decoder blocks. Arguments as for `TransformerEncoder`."""

    def __init__(self, layers: int, model_size: int, norm: Norm = "post", **block: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DecoderBlock(model_size, norm=norm, **block) for _ in range(layers))
        self.norm = nn.LayerNorm(model_size) if norm == "pre" else nn.Identity()

    def forward(
        self, inputs: Float[Tensor, "b t d"], memory: Float[Tensor, "b k d"], mask: Bool[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """The outputs of whole sequences. The mask is that of the memory: True = may be attended."""
        for block in self.blocks:
            inputs = block(inputs, memory, mask)
        return self.norm(inputs)  # type: ignore[no-any-return]

    def prepare(self, memory: Float[Tensor, "b k d"], mask: Bool[Tensor, "b k"] | None = None) -> tuple[Heads, ...]:
        """The memory's keys and values, projected once for every block."""
        blocks: Any = self.blocks
        prepared = (block.cross_attention.prepare(memory, mask) for block in blocks)
        # contiguous, or every step of a search would copy each head's
        return tuple(Heads(heads.keys.contiguous(), heads.values.contiguous(), heads.mask) for heads in prepared)

    def advance(
        self,
        inputs: Float[Tensor, "b t d"],
        memory: tuple[Heads, ...],
        past: tuple[Cache, ...] | None = None,
        seen: Bool[Tensor, "#b #h t k"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], tuple[Cache, ...]]:
        """The outputs of these positions, and the caches extended by them, for the next call.

        `seen`: the positions, those of `past` first, that each input may see; by default those up to its own.
        """
        kept = []
        blocks: Any = self.blocks
        for layer, (block, heads) in enumerate(zip(blocks, memory, strict=True)):
            inputs, now = block.advance(inputs, heads, None if past is None else past[layer], seen)
            kept.append(now)
        return self.norm(inputs), tuple(kept)
