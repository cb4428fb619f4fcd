"""Handwriting prediction and synthesis."""
