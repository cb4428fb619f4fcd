"""Differentiable neural computers that learn algorithms (Graves et al. 2016)."""
