"""Squeeze-and-excitation networks (Hu et al. 2018)."""
