"""Backpropagation through time, worked out."""
