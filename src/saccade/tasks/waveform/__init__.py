"""A signal with several time scales, to be generated from nothing."""

from saccade.tasks.waveform.task import Batch, WaveformConfig, WaveformTask

__all__ = ["Batch", "WaveformConfig", "WaveformTask"]
