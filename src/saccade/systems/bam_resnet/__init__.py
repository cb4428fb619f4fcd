"""Residual networks with bottleneck attention (Park et al. 2018)."""
