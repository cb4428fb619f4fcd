"""Speech: recordings and strings of spoken digits, log-mel features, label error rate."""

from saccade.tasks.speech.batch import BLANK, END, PAD, START, Batch
from saccade.tasks.speech.config import SpeechConfig
from saccade.tasks.speech.digits import SPEAKERS
from saccade.tasks.speech.task import SpeechTask

__all__ = ["BLANK", "END", "PAD", "SPEAKERS", "START", "Batch", "SpeechConfig", "SpeechTask"]
