"""Looking at images: glimpses, windows, spatial transformers, gates, local attention."""

from saccade.vision.attention_2d import Attention2d, MultiHeadSelfAttention
from saccade.vision.bottleneck_attention import BottleneckAttention
from saccade.vision.cbam import CBAM, ChannelGate, SpatialGate
from saccade.vision.gaussian_grid import GaussianGrid
from saccade.vision.grids import AffineGrid, ProjectiveGrid, SimilarityGrid, SplineGrid
from saccade.vision.local_attention import AttentionStem, LocalAttention2d
from saccade.vision.location import GaussianLocation
from saccade.vision.retina import Retina
from saccade.vision.spatial_transformer import SpatialTransformer
from saccade.vision.squeeze_excite import SqueezeExcite

__all__ = [
    "CBAM",
    "AffineGrid",
    "Attention2d",
    "AttentionStem",
    "BottleneckAttention",
    "ChannelGate",
    "GaussianGrid",
    "GaussianLocation",
    "LocalAttention2d",
    "MultiHeadSelfAttention",
    "ProjectiveGrid",
    "Retina",
    "SimilarityGrid",
    "SpatialGate",
    "SpatialTransformer",
    "SplineGrid",
    "SqueezeExcite",
]
