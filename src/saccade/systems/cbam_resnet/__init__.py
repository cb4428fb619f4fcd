"""Residual networks with convolutional block attention (Woo et al. 2018)."""
