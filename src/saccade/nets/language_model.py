"""A language model of Transformer blocks. Radford et al. 2019, "Language Models are Unsupervised Multitask Learners",
section 2.3.

    h_0 = dropout(E x + P),   h = LN(blocks(h_0)), causal,   p(x_t+1 | x_1..x_t) = softmax(E h_t)

Pre-norm, gelu by its tanh, learned positions P, one matrix E for the embedding and the output, and projections that add
to the sum initialised smaller by sqrt(2 layers).
"""

from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.multi_head import Cache
from saccade.attention.positions import LearnedPositions
from saccade.core.config import Parts, Size, config
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Split
from saccade.nets.blocks import Blocks
from saccade.nets.dropout import Dropout
from saccade.nets.projection import Projection

Share = Annotated[float, Field(ge=0, lt=1)]


@config
class LanguageModelConfig:
    """Sizes of the net."""

    layers: Parts = 6
    """Transformer blocks."""
    model_size: Size = 192
    """Features of a position."""
    heads: Parts = 6
    """Heads of each attention."""
    hidden_size: Size | None = None
    """Units of a feed-forward layer; none: four times model_size."""
    positions: Annotated[int, Field(ge=2, le=1_000_000)] = 128
    """Learned positions: the most symbols that are read at once. A longer text is read through a window."""
    dropout: Share = 0.1
    """Dropout rate of the embeddings and of the output of each sub-layer."""
    attention_dropout: Share = 0.0
    """Dropout rate of the attention weights; above 0, training on a CPU is slower."""

    @model_validator(mode="after")
    def check_heads(self) -> "LanguageModelConfig":
        if self.model_size % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a model-size of {self.model_size}")
        return self

    def check_reads(self, window: int, context: int) -> None:
        """Check the lengths of a task: a training window, and the symbols before those that are scored, as many as
        these.

        Raises:
            ValueError: more than there are positions.
        """
        if window > self.positions or 2 * context > self.positions:
            raise ValueError(
                f"the model reads at most --model.positions {self.positions} symbols, but --task.window is {window} "
                f"and --task.context {context}, as many symbols before as are scored; type --task.window "
                f"{min(window, self.positions)} --task.context {min(context, self.positions // 2)}, or more positions"
            )


class LanguageModel(nn.Module):
    """Predicts each next symbol (Radford et al. 2019).

    Args:
        config: sizes.
        symbols: number of symbols.
    """

    def __init__(self, config: LanguageModelConfig, symbols: int) -> None:
        super().__init__()
        size = config.model_size
        self.embedding, self.positions = nn.Embedding(symbols, size), LearnedPositions(size, config.positions)
        self.dropout = Dropout(config.dropout)
        self.stack = Blocks(
            config.layers, size, heads=config.heads, hidden_size=config.hidden_size or 4 * size,
            dropout=config.dropout, attention_dropout=config.attention_dropout,
        )  # fmt: skip
        self.stack.reset_parameters(scaled=True)
        for table in (self.embedding.weight, self.positions.table):
            nn.init.normal_(table, std=0.02)

    @property
    def longest(self) -> int:
        """The most symbols that are read at once."""
        return self.positions.longest

    def forward(self, symbols: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"] | None = None) -> Projection:
        """The logits of the symbol after each, as a `Projection`.

        Args:
            mask: False at padding, which may be on either side; positions are counted from the first symbol.

        Raises:
            InvalidInput: more symbols than there are positions.
        """
        places, seen = None, None
        if mask is not None and not pads_behind(mask):
            places, seen = (mask.cumsum(1) - 1).clamp(min=0), mask
        outputs = self.stack(self.dropout(self.embedded(symbols, places)), seen, causal=True)
        return self.project(outputs)

    def advance(
        self,
        symbols: Int[Tensor, "b t"],
        places: Int[Tensor, "b t"] | None = None,
        past: tuple[Cache, ...] | None = None,
        mask: Bool[Tensor, "b k"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], tuple[Cache, ...]]:
        """The features h of symbols after those of `past`, and the caches extended by them.

        Args:
            symbols: one or more of each text.
            places: their positions; by default 0, 1, 2, ...
            past: the caches of an earlier call.
            mask: False at padding, over the past and the new symbols.
        """
        return self.stack.advance(self.dropout(self.embedded(symbols, places)), past, mask)

    def project(self, features: Float[Tensor, "*b d"]) -> Projection:
        """The logits of features."""
        return Projection(features, self.embedding.weight)

    def embedded(self, symbols: Int[Tensor, "b t"], places: Int[Tensor, "b t"] | None) -> Float[Tensor, "b t d"]:
        """The embeddings of symbols, with those of their positions added."""
        found: Tensor = self.embedding(symbols)
        if places is None:
            return self.positions(found)  # type: ignore[no-any-return]
        if symbols.shape[1] > self.longest:
            raise InvalidInput(f"a text of {symbols.shape[1]} symbols is longer than the {self.longest} positions")
        return found + F.embedding(places, self.positions.table)


BLOCKS = ("stack.blocks.*",)
"""The modules that the backward pass can compute again, for `Recipe.blocks`."""


def shards(config: LanguageModelConfig, tensor: int) -> dict[str, Split]:
    """How a group of processes splits the layers, for `Recipe.shards`, as Megatron-LM does (Shoeybi et al. 2019,
    arXiv:1909.08053, section 3): whole heads, hidden units, and the symbols.

    Raises:
        InvalidInput: the heads cannot be divided among a group of `tensor` processes.
    """
    if config.heads % tensor:
        raise InvalidInput(
            f"the {config.heads} heads of the model cannot be divided among --training.tensor {tensor} processes; "
            "choose a divisor"
        )
    return {
        "embedding": "vocabulary",
        "stack.blocks.*.attention.projection": "columns",
        "stack.blocks.*.attention.output": "rows",
        "stack.blocks.*.feed_forward.hidden": "columns",
        "stack.blocks.*.feed_forward.output": "rows",
    }


def pads_behind(mask: Bool[Tensor, "b t"]) -> bool:
    """Whether all padding is at the ends, where causal attention does not see it. On a GPU the check would wait for the
    device. On the meta device there are no values, and a training window has no padding."""
    if mask.device.type == "meta":
        return True
    if mask.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return bool((mask[:, :-1] | ~mask[:, 1:]).all())
