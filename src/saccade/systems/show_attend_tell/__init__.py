"""Captions with attention to regions of an image."""
