"""Training batches of captions of like length, and, to warm up the language part, of captions without images."""

from collections.abc import Sequence
from typing import Any

from saccade.core.stream import ExampleStream, Share
from saccade.core.task import Size


class _ByLength:
    """The task as `ExampleStream` sees it: each caption counts as one example, and longer ones are sorted last."""

    def __init__(self, task: Any, examples: Any) -> None:
        self._task, self._examples = task, examples

    def collate(self, examples: Sequence[Any], generator: Any = None) -> Any:
        return self._task.collate(examples, generator)

    def examples(self, split: str) -> Any:
        return self._examples

    def size(self, example: Any) -> Size:
        return Size(input=len(example.symbols), output=1)


class CaptionStream:
    """Captions with their images, sorted by length within a window, cut and shuffled; before them, for some batches,
    captions without images, if the task has any.

    Args:
        task: the captions task.
        batch_size: captions of a batch.
        window: captions that are sorted together.
        seed: seed of the shuffles.
        alone: the number of first batches that are of captions without images.
    """

    def __init__(self, task: Any, *, batch_size: int, window: int, seed: int, alone: int = 0) -> None:
        options: Any = {"batch_size": batch_size, "window": window, "seed": seed}
        self.images = ExampleStream(_ByLength(task, task.examples("train")), **options)
        self.alone = alone if alone and task.texts else 0
        self.texts = ExampleStream(_ByLength(task, task.texts), **options) if self.alone else None

    def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
        if self.texts is not None and batch < self.alone:
            return self.texts.share(batch, rank, processes)
        return self.images.share(batch - self.alone, rank, processes)
