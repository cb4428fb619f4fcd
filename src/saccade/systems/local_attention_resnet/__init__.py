"""Residual networks of stand-alone self-attention (Ramachandran et al. 2019)."""
