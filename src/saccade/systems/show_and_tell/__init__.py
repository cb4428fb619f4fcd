"""Captions from one vector of an image."""
