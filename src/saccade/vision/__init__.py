"""Looking at images: glimpses, windows, spatial transformers, gates, local attention."""

from saccade.vision.bottleneck_attention import BottleneckAttention
from saccade.vision.cbam import CBAM, ChannelGate, SpatialGate
from saccade.vision.gaussian_grid import GaussianGrid
from saccade.vision.location import GaussianLocation
from saccade.vision.retina import Retina
from saccade.vision.squeeze_excite import SqueezeExcite

__all__ = [
    "CBAM",
    "BottleneckAttention",
    "ChannelGate",
    "GaussianGrid",
    "GaussianLocation",
    "Retina",
    "SpatialGate",
    "SqueezeExcite",
]
