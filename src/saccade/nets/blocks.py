"""Stacks of Transformer blocks without a second sequence, of encoders and of language models. Radford et al. 2019,
"Language Models are Unsupervised Multitask Learners", section 2.3; Devlin et al. 2019, arXiv:1810.04805, section 3.

    pre-norm (GPT-2):   x <- x + attention(LN x),       x <- x + W_2 gelu(W_1 LN x + b_1) + b_2
    post-norm (BERT):   x <- LN(x + attention(x)),      x <- LN(x + W_2 gelu(W_1 x + b_1) + b_2)

With pre-norm the sum is not normalised, so the stack ends in a norm.
"""

from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.attention.multi_head import Cache
from saccade.attention.self_attention import SelfAttention
from saccade.nets.transformer import Activation, FeedForward, Norm, Residual


class Block(nn.Module):
    """Self-attention and feed-forward, all projections with biases.

    Args:
        model_size: features, d_model.
        heads: number of attention heads.
        hidden_size: features of the feed-forward layer.
        dropout: share of each sub-layer's output dropped in training.
        attention_dropout: share of the attention weights dropped in training.
        norm: "pre" or "post".
        activation: of the feed-forward layer.
        epsilon: added to the variance in the norms.
    """

    def __init__(
        self,
        model_size: int,
        heads: int,
        hidden_size: int,
        *,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        norm: Norm = "pre",
        activation: Activation = "gelu-tanh",
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(model_size, heads, dropout=attention_dropout)
        self.feed_forward = FeedForward(model_size, hidden_size, activation)
        self.attention_residual = Residual(model_size, dropout, norm, epsilon)
        self.forward_residual = Residual(model_size, dropout, norm, epsilon)

    def forward(
        self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "..."] | None = None, causal: bool = False
    ) -> Float[Tensor, "b t d"]:
        """The outputs of all positions. Arguments as for `SelfAttention`."""
        attended = self.attention_residual(inputs, lambda x: self.attention(x, mask, causal))
        return self.forward_residual(attended, self.feed_forward)  # type: ignore[no-any-return]

    def advance(
        self, inputs: Float[Tensor, "b t d"], past: Cache | None, mask: Bool[Tensor, "..."] | None = None
    ) -> tuple[Float[Tensor, "b t d"], Cache]:
        """The outputs of the positions after those of `past`, and the cache extended by them."""
        kept: list[Cache] = []

        def see_the_past(x: Tensor) -> Tensor:
            outputs, cache = self.attention.advance(x, past, mask)
            kept.append(cache)
            return outputs

        attended = self.attention_residual(inputs, see_the_past)
        return self.forward_residual(attended, self.feed_forward), kept[0]


class Blocks(nn.Module):
    """A stack of blocks.

    Args:
        layers: number of blocks.
        model_size: features, d_model.
        norm: "pre" or "post".
        epsilon: added to the variance in the norms.
        block: further arguments of `Block`.
    """

    def __init__(self, layers: int, model_size: int, norm: Norm = "pre", epsilon: float = 1e-5, **block: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(model_size, norm=norm, epsilon=epsilon, **block) for _ in range(layers)
        )  # fmt: skip
        self.norm = nn.LayerNorm(model_size, epsilon) if norm == "pre" else nn.Identity()

    def reset_parameters(self, deviation: float = 0.02, scaled: bool = False) -> None:
        """Normally distributed weights, and biases of 0.

        Args:
            deviation: their standard deviation.
            scaled: divide that of the projections that add to the sum by sqrt(2 layers) (Radford et al. 2019).
        """
        for block in self.blocks:
            for name, module in block.named_modules():
                if isinstance(module, nn.Linear):
                    adds = scaled and name.endswith("output")
                    nn.init.normal_(module.weight, std=deviation / ((2 * len(self.blocks)) ** 0.5 if adds else 1.0))
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)

    def forward(
        self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "..."] | None = None, causal: bool = False
    ) -> Float[Tensor, "b t d"]:
        """The outputs of all positions. Arguments as for `SelfAttention`."""
        for block in self.blocks:
            inputs = block(inputs, mask, causal)
        return self.norm(inputs)  # type: ignore[no-any-return]

    def advance(
        self,
        inputs: Float[Tensor, "b t d"],
        past: tuple[Cache, ...] | None,
        mask: Bool[Tensor, "..."] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], tuple[Cache, ...]]:
        """The outputs of the positions after those of `past`, and the caches extended by them, one for each block."""
        kept = []
        blocks: Any = self.blocks
        for layer, block in enumerate(blocks):
            inputs, cache = block.advance(inputs, None if past is None else past[layer], mask)
            kept.append(cache)
        return self.norm(inputs), tuple(kept)
