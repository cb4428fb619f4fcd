"""A convolutional net of three layers, with self-attention over the places of the last one or without. VanRullen's
class on attention, Colab notebook; attention: Vaswani et al. 2017, arXiv:1706.03762, equation 1.

    x = relu(conv_2x2(pool(relu(conv_3x3(pool(relu(conv_3x3(image))))))))          7 x 7 places of images of 32 x 32
    q = relu(W_q x + b_q),  k = relu(W_k x + b_k),  v = relu(W_v x + b_v)          at each place, for each head
    r_p = sum_p' softmax_p'(q_p . k_p' / sqrt(d)) v_p'                             d features of a query and of a key
    o_p = relu(W_o [r_p of all heads] + b_o)
    class = softmax(W relu(U [o of all places] + b) + c)

Without attention, o is x. As o has fewer features than x, U is smaller by as much.
"""

from typing import Annotated, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.dot_product import dot_product_weights
from saccade.core.config import NAMED, Parts, Size, config
from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap
from saccade.nets.dropout import Dropout


@config
class Without:
    """No attention: the dense layer sees the convolutions' output."""

    name: Literal["none"] = "none"


@config
class SelfAttention:
    """Every place of the last convolution attends to all of them."""

    name: Literal["self-attention"] = "self-attention"
    heads: Parts = 1
    """Number of heads."""
    head_size: Size = 64
    """Features of a query and of a key in a head."""
    value_size: Size = 64
    """Features of a value in a head."""
    output_size: Size = 32
    """Features of a place after attention, o."""


@config
class AttentionCNNConfig:
    """A convolutional net with attention or without."""

    filters: tuple[Size, Size, Size] = (32, 64, 192)
    """Filters of the convolutions: 3 x 3, 3 x 3, each followed by a maximum over 2 x 2, and 2 x 2."""
    attention: Annotated[Without | SelfAttention, Field(discriminator="name"), NAMED] = SelfAttention()
    """What reads the last convolution."""
    hidden_size: Size = 256
    """Units of the dense layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the dense layer's inputs and outputs that is dropped in training."""


class PlaceAttention(nn.Module):
    """Self-attention over places, with rectified queries, keys, values and outputs.

    Args:
        channels: features of a place.
        config: heads and their sizes.
    """

    def __init__(self, channels: int, config: SelfAttention) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(channels, config.heads * config.head_size)
        self.key = nn.Linear(channels, config.heads * config.head_size)
        self.value = nn.Linear(channels, config.heads * config.value_size)
        self.output = nn.Linear(config.heads * config.value_size, config.output_size)
        self.weights = Tap("b h q k")

    def forward(self, places: Float[Tensor, "b p c"]) -> Float[Tensor, "b p o"]:
        query, keys, values = (
            rearrange(projection(places).relu(), "b p (h d) -> b h p d", h=self.heads)
            for projection in (self.query, self.key, self.value)
        )
        # with 49 places plain products are faster on a CPU than the fused kernel
        read: Tensor = self.weights(dot_product_weights(query, keys)) @ values
        return F.relu(self.output(rearrange(read, "b h p d -> b p (h d)")))


class AttentionCNN(nn.Module):
    """A classifier of square images.

    Args:
        config: its layers.
        channels: of an image.
        size: rows and columns of an image.
        classes: their number.

    Raises:
        InvalidInput: images of fewer than 8 x 8 pixels, or of another shape than was said.
    """

    def __init__(self, config: AttentionCNNConfig, channels: int, size: int, classes: int) -> None:
        super().__init__()
        if size < 8:
            raise InvalidInput(f"expected images of at least 8 x 8 pixels, not {size} x {size}")
        first, second, last = config.filters
        self.features = nn.Sequential(
            nn.Conv2d(channels, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(second, last, 2), nn.ReLU(),
        )  # fmt: skip
        self.shape = (channels, size, size)
        """Of an image."""
        self.side = size // 4 - 1
        """Rows and columns of places."""
        self.attention: PlaceAttention | None = None
        if isinstance(config.attention, SelfAttention):
            self.attention = PlaceAttention(last, config.attention)
            last = config.attention.output_size
        self.classifier = nn.Sequential(
            Dropout(config.dropout), nn.Linear(self.side**2 * last, config.hidden_size), nn.ReLU(),
            Dropout(config.dropout), nn.Linear(config.hidden_size, classes),
        )  # fmt: skip
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b k"]:
        """The logits of the classes."""
        if images.ndim != 4 or images.shape[1:] != self.shape:
            raise InvalidInput(f"images must be (batch, {', '.join(map(str, self.shape))}), not {tuple(images.shape)}")
        images = images.to(next(self.parameters()).dtype)
        maps = self.features(images.contiguous(memory_format=torch.channels_last))  # faster on a CPU
        places = rearrange(maps, "b c y x -> b (y x) c")
        if self.attention is not None:
            places = self.attention(places)
        logits: Tensor = self.classifier(torch.flatten(places, 1))
        return logits
