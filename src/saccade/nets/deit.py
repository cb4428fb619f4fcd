"""DeiT, a Transformer on patches of an image. Touvron et al. 2021, arXiv:2012.12877; the blocks are those of the vision
Transformer, Dosovitskiy et al. 2021, arXiv:2010.11929, equations 1 to 4.

    z_0 = [c; s; E x_1 + e; ...; E x_N + e] + P           x_n the patches, row by row
    u_l = z_(l-1) + attention(LN z_(l-1))                 l = 1 ... L, of all tokens to all tokens
    z_l = u_l + W_2 gelu(W_1 LN u_l + b_1) + b_2
    class: W LN(z_L)_c + b,   distillation: W' LN(z_L)_s + b'

c is the class token, s the distillation token, which only the distilled networks have, P the position embeddings. In
training each token has a target of its own: the label, and what a teacher says (section 4). A prediction is the mean of
both. The paper adds their softmax outputs; here, as in the authors' code, the logits are averaged.
"""

from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.attention.multi_head import MultiHeadAttention
from saccade.nets.convolution import check_images
from saccade.nets.patches import check_heads, check_size, initialise, resized
from saccade.nets.stochastic_depth import StochasticDepth, depths

PUBLISHED = (
    (
        (r"^class_token$", "cls_token"), (r"^distillation_token$", "dist_token"), (r"^positions$", "pos_embed"),
        (r"^patches\.", "patch_embed.proj."), (r"^distillation_head\.", "head_dist."),
        (r"\.attention_norm\.", ".norm1."), (r"\.hidden_norm\.", ".norm2."),
        (r"\.hidden\.", ".mlp.fc1."), (r"(\d)\.output\.", r"\1.mlp.fc2."),
        (r"\.attention\.output\.", ".attn.proj."), (r"\.attention\.query\.(\w+)", r".attn.qkv.\1[1/3]"),
        (r"\.attention\.key\.(\w+)", r".attn.qkv.\1[2/3]"), (r"\.attention\.value\.(\w+)", r".attn.qkv.\1[3/3]"),
    ),
)  # fmt: skip
"""Our names, and those of timm 1.0.29.dev0 (commit aa4b585) and github.com/facebookresearch/deit (commit 7e160fe)."""


class Logits(NamedTuple):
    """What each head says."""

    of_class: Float[Tensor, "b classes"]
    of_distillation: Float[Tensor, "b classes"] | None
    """None without a distillation token."""


class Block(nn.Module):
    """Self-attention and two linear layers, each on the normalised sum so far, and each with a residual connection.

    Args:
        model_size: features of a token.
        heads: number of attention heads.
        hidden_size: features between the two linear layers.
        drop: probability that either branch of an image is dropped in training.
    """

    def __init__(self, model_size: int, heads: int, hidden_size: int, drop: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(model_size, eps=1e-6)
        self.attention = MultiHeadAttention(model_size, heads, bias=True)
        self.hidden_norm = nn.LayerNorm(model_size, eps=1e-6)
        self.hidden = nn.Linear(model_size, hidden_size)
        self.output = nn.Linear(hidden_size, model_size)
        self.depth = StochasticDepth(drop)

    def forward(self, tokens: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        normed = self.attention_norm(tokens)
        tokens = tokens + self.depth(self.attention(normed, normed))
        return tokens + self.depth(self.output(F.gelu(self.hidden(self.hidden_norm(tokens)))))  # type: ignore[no-any-return]


class DeiT(nn.Module):
    """A classifier of images: a Transformer on their patches (Touvron et al. 2021).

    Args:
        classes: number of classes.
        image_size: height and width of the images that the position embeddings are for; those of other images are
            interpolated.
        channels: channels of the images.
        patch_size: height and width of a patch.
        model_size: features of a token.
        layers: number of blocks.
        heads: number of attention heads.
        hidden_size: features between the linear layers of a block; 4 times `model_size` by default.
        distilled: whether there is a distillation token, with a head of its own.
        stochastic_depth: probability that a branch of the last block is dropped in training; it rises linearly from 0
            at the first.

    Raises:
        InvalidInput: a size below 1; heads that do not divide the features; images that are not (batch, channels,
            height, width), or that the patches do not divide; a rate outside 0 <= p < 1.
    """

    def __init__(
        self,
        classes: int,
        *,
        image_size: int = 224,
        channels: int = 3,
        patch_size: int = 16,
        model_size: int = 384,
        layers: int = 12,
        heads: int = 6,
        hidden_size: int | None = None,
        distilled: bool = False,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        hidden_size = 4 * model_size if hidden_size is None else hidden_size
        check_sizes(
            classes=classes, image_size=image_size, channels=channels, patch_size=patch_size, model_size=model_size,
            layers=layers, hidden_size=hidden_size,
        )  # fmt: skip
        check_heads(heads, model_size)
        check_size(image_size, image_size, patch_size)
        self.channels, self.patch_size, self.side = channels, patch_size, image_size // patch_size
        self.before = 2 if distilled else 1
        """Tokens before those of the patches."""
        self.patches = nn.Conv2d(channels, model_size, patch_size, patch_size)
        self.class_token = nn.Parameter(torch.empty(1, 1, model_size))
        self.distillation_token = nn.Parameter(torch.empty(1, 1, model_size)) if distilled else None
        self.positions = nn.Parameter(torch.empty(1, self.before + self.side**2, model_size))
        drops = depths(stochastic_depth, layers)
        self.blocks = nn.ModuleList(Block(model_size, heads, hidden_size, drop) for drop in drops)
        self.norm = nn.LayerNorm(model_size, eps=1e-6)
        self.head = nn.Linear(model_size, classes)
        self.distillation_head = nn.Linear(model_size, classes) if distilled else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for table in (self.class_token, self.distillation_token, self.positions):
            if table is not None:
                initialise(table)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                initialise(module.weight)
                nn.init.zeros_(module.bias)

    def tokens(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b t d"]:
        """LN z_L: the class token, the distillation token if there is one, and the patches row by row."""
        check_images(images, self.channels)
        check_size(images.shape[2], images.shape[3], self.patch_size)
        patches: Tensor = self.patches(images.to(self.head.weight.dtype))
        _, _, rows, columns = patches.shape
        first = [token for token in (self.class_token, self.distillation_token) if token is not None]
        tokens = torch.cat([*(one.expand(len(images), 1, -1) for one in first), patches.flatten(2).mT], 1)
        tokens = tokens + self.positions_of(rows, columns)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)  # type: ignore[no-any-return]

    def logits(self, images: Float[Tensor, "b c y x"]) -> Logits:
        """What each head says, for a loss that has a target for each."""
        tokens = self.tokens(images)
        distilled = None if self.distillation_head is None else self.distillation_head(tokens[:, 1])
        return Logits(self.head(tokens[:, 0]), distilled)

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b classes"]:
        """The logits of the class token; with a distillation token, the mean of both, in training too."""
        of_class, of_distillation = self.logits(images)
        return of_class if of_distillation is None else (of_class + of_distillation) / 2

    def positions_of(self, rows: int, columns: int) -> Float[Tensor, "1 t d"]:
        """The position embeddings of the tokens of this grid."""
        first, grid = self.positions.split([self.before, self.side**2], 1)
        table = rearrange(grid, "n (y x) d -> n d y x", y=self.side)
        return torch.cat([first, resized(table, rows, columns).flatten(2).mT], 1)


def deit_tiny(classes: int = 1000, **options: Any) -> DeiT:
    """DeiT-Ti: 192 features, 3 heads (table 1). Options are those of `DeiT`."""
    return DeiT(classes, **{"model_size": 192, "heads": 3, **options})


def deit_small(classes: int = 1000, **options: Any) -> DeiT:
    """DeiT-S: 384 features, 6 heads (table 1). Options are those of `DeiT`."""
    return DeiT(classes, **{"model_size": 384, "heads": 6, **options})


def deit_base(classes: int = 1000, **options: Any) -> DeiT:
    """DeiT-B: 768 features, 12 heads (table 1). Options are those of `DeiT`."""
    return DeiT(classes, **{"model_size": 768, "heads": 12, **options})
