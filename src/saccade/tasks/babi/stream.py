"""Batches of as many questions each, of stories of similar length."""

import random
from typing import Any

from saccade.core.stream import ExampleStream
from saccade.tasks.babi.task import BabiTask


class Questions(ExampleStream):
    """Batches with `batch_size` questions; within a window they are sorted by the length of their stories, so that
    little is padding. With a window as large as a batch they are not sorted."""

    def epoch(self, number: int) -> list[list[int]]:
        shuffle = random.Random(f"{self.seed}/{number}").shuffle
        order, size = list(range(len(self.examples))), self.batch_size
        shuffle(order)
        batches: list[list[int]] = []
        for first in range(0, len(order), self.window):
            rows = sorted(order[first : first + self.window], key=lambda row: len(self.examples[row].sentences))
            batches += [rows[start : start + size] for start in range(0, len(rows), size)]
        shuffle(batches)
        return batches


def by_questions(config: Any, task: BabiTask, model: Any) -> Questions:
    """The stream of a configuration, for a recipe."""
    training = config.training
    return Questions(task, batch_size=training.batch_size, window=training.window, seed=training.seed)
