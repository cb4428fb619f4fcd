"""See where a model looks: capture, and pictures of what was captured. It knows no model."""

from saccade.explain.capture import Capture, capture

__all__ = ["Capture", "capture"]
