"""Capturing, measuring and drawing where a model looks."""

from saccade.explain.capture import capture
from saccade.explain.captured import Capture
from saccade.explain.interventions import ablate, scale

__all__ = ["Capture", "ablate", "capture", "scale"]
