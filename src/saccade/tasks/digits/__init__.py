"""Images of handwritten digits: MNIST, distorted, on canvases with clutter, in pairs, or in black and white."""

from saccade.tasks.digits.batch import Batch, Bound, Example
from saccade.tasks.digits.config import DigitsConfig
from saccade.tasks.digits.stream import DigitStream, by_epochs
from saccade.tasks.digits.task import DigitsTask

__all__ = ["Batch", "Bound", "DigitStream", "DigitsConfig", "DigitsTask", "Example", "by_epochs"]
