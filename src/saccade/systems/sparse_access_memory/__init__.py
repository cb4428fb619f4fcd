"""Sparse access memories that learn algorithms (Rae et al. 2016)."""
