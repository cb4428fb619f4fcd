"""Digits straightened before they are read (Jaderberg et al. 2015)."""
