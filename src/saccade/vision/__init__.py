"""Looking at images: glimpses, windows, spatial transformers, gates, local attention."""

from saccade.vision.gaussian_grid import GaussianGrid

__all__ = ["GaussianGrid"]
