"""Training batches whose images are functions of the example and the epoch."""

from typing import Any

from saccade.core.stream import ExampleStream, Share
from saccade.tasks.digits.task import DigitsTask


class DigitStream(ExampleStream):
    """Batches of `batch_size` images; an image does not depend on its batch or on the number of processes."""

    task: DigitsTask

    def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
        rows = self.rows(batch)
        own = rows[rank::processes]
        epoch, _, _ = self._epoch
        return Share(self.task.collate(self.task.drawn("train", own or rows[:1], epoch)), bool(own))


def by_epochs(config: Any, task: DigitsTask, model: Any) -> DigitStream:
    """The stream of a configuration, for a recipe."""
    training = config.training
    return DigitStream(task, batch_size=training.batch_size, window=training.window, seed=training.seed)
