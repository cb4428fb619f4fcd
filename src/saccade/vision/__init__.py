"""Looking at images: glimpses, windows, spatial transformers, gates, local attention."""

from saccade.vision.gaussian_grid import GaussianGrid
from saccade.vision.grids import AffineGrid, ProjectiveGrid, SimilarityGrid, SplineGrid
from saccade.vision.location import GaussianLocation
from saccade.vision.retina import Retina
from saccade.vision.spatial_transformer import SpatialTransformer

__all__ = [
    "AffineGrid",
    "GaussianGrid",
    "GaussianLocation",
    "ProjectiveGrid",
    "Retina",
    "SimilarityGrid",
    "SpatialTransformer",
    "SplineGrid",
]
