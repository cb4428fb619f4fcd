"""Looking at images: glimpses, windows, spatial transformers, gates, local attention."""

from saccade.vision.grids import AffineGrid, ProjectiveGrid, SimilarityGrid, SplineGrid
from saccade.vision.spatial_transformer import SpatialTransformer

__all__ = ["AffineGrid", "ProjectiveGrid", "SimilarityGrid", "SpatialTransformer", "SplineGrid"]
