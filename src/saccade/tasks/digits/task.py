"""The digits task: images made of handwritten digits, and the share of them that is read wrongly."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.task import Figure, Score
from saccade.tasks.digits.batch import Batch, Example
from saccade.tasks.digits.config import DigitsConfig
from saccade.tasks.digits.draws import keys_of
from saccade.tasks.digits.mnist import SPLITS, Digits, embedded, read_mnist


class DigitsTask:
    """Images of digits. The metric is the error in %.

    What is drawn for an image is a function of the seed, the split, the digit and, in training, the epoch.
    """

    metric = "error"
    direction: Literal["min"] = "min"
    unit = "%"

    def __init__(self, config: DigitsConfig) -> None:
        self.config, self.kind = config, config.kind
        self._examples: dict[str, list[Example]] = {}

    @cached_property
    def digits(self) -> dict[str, Digits]:
        """The digits of each split."""
        folder, most = self.config.folder, self.config.training_examples
        found = dict(embedded() if folder is None else read_mnist(folder))
        return found | {"train": found["train"].part(slice(most))}

    def examples(self, split: str) -> Sequence[Example]:
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            self._examples[split] = self.drawn(split, range(len(self.digits[split].labels)))
        return self._examples[split]

    def drawn(self, split: str, rows: Sequence[int], epoch: int = 0) -> list[Example]:
        """The examples of these digits as they are in an epoch of training."""
        keys = keys_of(self.config.draw, *self._numbers(split, rows, epoch))
        labels = self.kind.labels(self.digits[split], torch.tensor(rows), keys).tolist()
        return [Example(split, row, tuple(own), epoch) for row, own in zip(rows, labels, strict=True)]

    def _numbers(self, split: str, rows: Sequence[int], epoch: int) -> tuple[list[int], Sequence[int], list[int]]:
        return [SPLITS.index(split)] * len(rows), rows, [epoch] * len(rows)

    def collate(self, examples: Sequence[Example], generator: torch.Generator | None = None) -> Batch:
        """With a generator the images are drawn for a random epoch; `DigitStream` draws them for its own."""
        if generator is not None:
            epoch = int(torch.randint(1, 2**62, (), generator=generator))
            examples = [
                example if example.image is not None else self.drawn(example.split, [example.row], epoch)[0]
                for example in examples
            ]
        size, digits = self.kind.size, self.kind.digits
        images = torch.zeros(len(examples), size, size)
        for split in {example.split for example in examples}:
            places = [place for place, example in enumerate(examples) if example.split == split]
            images[places] = self._images([examples[place] for place in places], split)
        labels = torch.tensor([example.labels or (0,) * digits for example in examples])
        return Batch(images[:, None], labels if digits > 1 else labels[:, 0])

    def _images(self, examples: Sequence[Example], split: str) -> Float[Tensor, "b y x"]:
        if not split:
            return torch.stack([example.image for example in examples if example.image is not None])
        rows = [example.row for example in examples]
        numbers = [SPLITS.index(split)] * len(rows), rows, [example.epoch for example in examples]
        return self.kind.images(self.digits[split], torch.tensor(rows), keys_of(self.config.draw, *numbers))

    def score(self, predictions: Sequence[int | Sequence[int]], examples: Sequence[Example]) -> Score:
        wrong = [self.said(ours) != example.labels for ours, example in zip(predictions, examples, strict=True)]
        return Score({"error": Figure(100 * sum(wrong) / len(wrong), "%"), "images": Figure(len(wrong))})

    def said(self, prediction: int | Sequence[int]) -> tuple[int, ...]:
        """The digits of a prediction."""
        return (prediction,) if isinstance(prediction, int) else tuple(prediction)

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for split in SPLITS:
            for part in self.digits[split]:
                digest.update(part.numpy().tobytes())
        digest.update(repr((self.config.draw, self.kind)).encode())
        source = "3,000 digits of MNIST" if self.config.folder is None else "MNIST"
        return {
            "data": f"{source}, {self.kind.name}",
            "images": {split: len(self.digits[split].labels) for split in SPLITS},
            "sha256": digest.hexdigest(),
        }

    def decode(self, prediction: int | Sequence[int]) -> str:
        return " ".join(map(str, self.said(prediction)))

    def answer(self, example: Example) -> int | tuple[int, ...]:
        return example.labels if self.kind.digits > 1 else example.labels[0]

    def compare(self, example: Example, prediction: int | Sequence[int]) -> Mapping[str, str]:
        right = " ".join(map(str, example.labels)) if example.labels else "?"
        return {"ours": self.decode(prediction), "right": right}
