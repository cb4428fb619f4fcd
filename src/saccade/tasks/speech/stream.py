"""Training batches of recordings, of similar length."""

from typing import Any

from saccade.core.stream import ExampleStream


def by_frames(config: Any, task: Any, model: Any) -> ExampleStream:
    """Batches sorted and limited by the steps of the encoder: recordings are much longer than their transcripts."""
    training = config.training
    return ExampleStream(task, batch_size=training.batch_size, window=training.window, seed=training.seed, side="input")
