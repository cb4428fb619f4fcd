"""Attention on speech."""
