"""Residual networks (He et al. 2016)."""
