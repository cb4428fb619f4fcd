"""Visformer: convolutions where maps are large, attention where they are small. Chen et al. 2021, arXiv:2104.12533.

    stem      relu(BN(7 x 7 convolution, stride 2))
    before each of three stages: BN(convolution of patches), which reduces the maps 4, 2 and 2 times, + P
    stage 1   x <- x + W_3 gelu(G gelu(W_1 BN x))                     G 3 x 3 in groups, twice as many channels
    stage 2   x <- x + attention(BN x),  x <- x + W_3 gelu(W_1 BN x)  of all pixels to all pixels
    stage 3   as stage 2, with twice its channels
    class     W mean_yx(BN x) + b

P are position embeddings. None of the convolutions in the stages, and none of the projections of attention, has a bias.
"""

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.attention.multi_head import MultiHeadAttention
from saccade.core.errors import InvalidInput
from saccade.nets.convolution import check_images, laid_out
from saccade.nets.patches import check_heads, check_size, initialise, resized
from saccade.nets.stochastic_depth import StochasticDepth, depths

PUBLISHED = (
    (
        (r"^patches(\d)\.convolution\.", r"patch_embed\1.proj."), (r"^patches(\d)\.norm\.", r"patch_embed\1.norm."),
        (r"^patches(\d)\.positions$", r"pos_embed\1"), (r"(\.\d+)\.norm\.", r"\1.norm2."),
        (r"\.attention_norm\.", ".norm1."), (r"\.convolutions\.expand\.", ".mlp.conv1."),
        (r"\.convolutions\.spatial\.", ".mlp.conv2."), (r"\.convolutions\.reduce\.", ".mlp.conv3."),
        (r"\.attention\.output\.", ".attn.proj."), (r"\.attention\.query\.(\w+)", r".attn.qkv.\1[1/3]"),
        (r"\.attention\.key\.(\w+)", r".attn.qkv.\1[2/3]"), (r"\.attention\.value\.(\w+)", r".attn.qkv.\1[3/3]"),
    ),
)  # fmt: skip
"""Our names, and those of timm 1.0.29.dev0 (commit aa4b585)."""


class Convolutions(nn.Module):
    """W_3 gelu(G gelu(W_1 x)), or without groups W_3 gelu(W_1 x).

    Args:
        channels: channels in and out.
        hidden: channels between.
        groups: groups of the 3 x 3 convolution G; none: there is none.
    """

    def __init__(self, channels: int, hidden: int, groups: int | None) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, hidden, 1, bias=False)
        self.spatial = None if groups is None else nn.Conv2d(hidden, hidden, 3, padding=1, groups=groups, bias=False)
        self.reduce = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        hidden = F.gelu(self.expand(maps))
        if self.spatial is not None:
            hidden = F.gelu(self.spatial(hidden))
        return self.reduce(hidden)  # type: ignore[no-any-return]


class ConvolutionBlock(nn.Module):
    """A block of stage 1; arguments as for `Convolutions`, and `drop`, the probability that the branch is dropped."""

    def __init__(self, channels: int, hidden: int, groups: int | None, drop: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.convolutions = Convolutions(channels, hidden, groups)
        self.depth = StochasticDepth(drop)

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        return maps + self.depth(self.convolutions(self.norm(maps)))  # type: ignore[no-any-return]


class AttentionBlock(ConvolutionBlock):
    """A block of stages 2 and 3: attention of all pixels to all pixels, then 1 x 1 convolutions.

    Args:
        channels: channels in and out.
        hidden: channels between the convolutions.
        heads: number of attention heads.
        drop: probability that either branch of an image is dropped in training.
    """

    def __init__(self, channels: int, hidden: int, heads: int, drop: float) -> None:
        super().__init__(channels, hidden, None, drop)
        self.attention_norm = nn.BatchNorm2d(channels)
        self.attention = MultiHeadAttention(channels, heads)

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        pixels = rearrange(self.attention_norm(maps), "b c y x -> b (y x) c")
        read = self.depth(self.attention(pixels, pixels))
        return super().forward(maps + rearrange(read, "b (y x) c -> b c y x", y=maps.shape[2]))


class Patches(nn.Module):
    """BN(convolution of patches) + P.

    Args:
        channels: channels in.
        model_size: channels out.
        patch_size: height and width of a patch, and the stride.
        side: rows and columns of the maps that the position embeddings are for.
    """

    def __init__(self, channels: int, model_size: int, patch_size: int, side: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, model_size, patch_size, patch_size)
        self.norm = nn.BatchNorm2d(model_size)
        self.positions = nn.Parameter(initialise(torch.empty(1, model_size, side, side)))

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d p q"]:
        patches: Tensor = self.norm(self.convolution(maps))
        return patches + resized(self.positions, patches.shape[2], patches.shape[3])


class Visformer(nn.Module):
    """A classifier of images: a stage of convolutions and two of attention (Chen et al. 2021).

    Args:
        classes: number of classes.
        image_size: height and width of the images that the position embeddings are for; those of other images are
            interpolated.
        channels: channels of the images.
        stem_channels: channels of the stem.
        stem_stride: stride of the stem.
        patches: by how much the maps are reduced before each stage.
        model_size: channels of stage 2; stage 1 has half, stage 3 twice as many.
        layers: blocks of each stage.
        heads: number of attention heads, the same in both stages.
        groups: groups of the 3 x 3 convolutions.
        stochastic_depth: probability that a branch of the last block is dropped in training; it rises linearly from 0
            at the first.

    Raises:
        InvalidInput: a size below 1; an odd `model_size`; heads or groups that do not divide the channels; images that
            are not (batch, channels, height, width), or that the strides do not divide; a rate outside 0 <= p < 1.
    """

    def __init__(
        self,
        classes: int,
        *,
        image_size: int = 224,
        channels: int = 3,
        stem_channels: int = 32,
        stem_stride: int = 2,
        patches: tuple[int, int, int] = (4, 2, 2),
        model_size: int = 384,
        layers: tuple[int, int, int] = (7, 4, 4),
        heads: int = 6,
        groups: int = 8,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(
            classes=classes, image_size=image_size, channels=channels, stem_channels=stem_channels,
            stem_stride=stem_stride, patches=min(patches), model_size=model_size, layers=min(layers), groups=groups,
        )  # fmt: skip
        if model_size % 2 or model_size % groups:
            raise InvalidInput(f"model_size must be even and a multiple of {groups} groups, not {model_size}")
        check_heads(heads, model_size)
        first, second, third = patches
        self.channels, self.stride = channels, stem_stride * first * second * third
        check_size(image_size, image_size, self.stride)
        half, twice, side = model_size // 2, 2 * model_size, image_size // stem_stride
        rates = depths(stochastic_depth, sum(layers))
        parts = rates[: layers[0]], rates[layers[0] : -layers[2]], rates[-layers[2] :]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, stem_channels, 7, stem_stride, 3, bias=False), nn.BatchNorm2d(stem_channels), nn.ReLU()
        )
        self.patches1 = Patches(stem_channels, half, first, side := side // first)
        self.stage1 = nn.Sequential(*(ConvolutionBlock(half, model_size, groups, drop) for drop in parts[0]))
        self.patches2 = Patches(half, model_size, second, side := side // second)
        self.stage2 = nn.Sequential(*(AttentionBlock(model_size, 4 * model_size, heads, drop) for drop in parts[1]))
        self.patches3 = Patches(model_size, twice, third, side // third)
        self.stage3 = nn.Sequential(*(AttentionBlock(twice, 4 * twice, heads, drop) for drop in parts[2]))
        self.norm = nn.BatchNorm2d(twice)
        self.head = nn.Linear(twice, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, MultiHeadAttention):  # 1 x 1 convolutions, the first three as one
                for projection in (module.query, module.key, module.value, module.output):
                    outputs = projection.out_features * (1 if projection is module.output else 3)
                    nn.init.normal_(projection.weight, std=(2 / outputs) ** 0.5)
        initialise(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def maps(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d p q"]:
        """The feature maps that are averaged for the head."""
        check_images(images, self.channels)
        check_size(images.shape[2], images.shape[3], self.stride)
        maps = self.stage1(self.patches1(self.stem(laid_out(images, self.head.weight.dtype))))
        maps = self.stage2(self.patches2(maps))
        return self.norm(self.stage3(self.patches3(maps)))  # type: ignore[no-any-return]

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b classes"]:
        """The logits."""
        return self.head(self.maps(images).mean((2, 3)))  # type: ignore[no-any-return]


def visformer_tiny(classes: int = 1000, **options: Any) -> Visformer:
    """Visformer-Ti: 192 channels in stage 2, 3 heads. Options are those of `Visformer`."""
    return Visformer(classes, **{"stem_channels": 16, "model_size": 192, "heads": 3, **options})


def visformer_small(classes: int = 1000, **options: Any) -> Visformer:
    """Visformer-S: 384 channels in stage 2, 6 heads. Options are those of `Visformer`."""
    return Visformer(classes, **{"stem_channels": 32, "model_size": 384, "heads": 6, **options})
