"""Seeing where a model looks."""

from saccade.explain.capture import Capture, capture
from saccade.explain.interventions import ablate, scale

__all__ = ["Capture", "ablate", "capture", "scale"]
