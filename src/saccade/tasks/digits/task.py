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
from saccade.tasks.digits.draws import Keys, keys_of
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
        found = [Example(split, row, (), epoch if self.kind.anew else 0) for row in rows]
        labels = self.kind.labels(self.digits[split], torch.tensor(rows), self._keys(found)).tolist()
        return [example._replace(labels=tuple(own)) for example, own in zip(found, labels, strict=True)]

    def _keys(self, examples: Sequence[Example]) -> Keys:
        splits, rows, epochs = zip(*((SPLITS.index(one.split), one.row, one.epoch) for one in examples), strict=True)
        return keys_of(self.config.draw, splits, rows, epochs)

    def collate(self, examples: Sequence[Example], generator: torch.Generator | None = None) -> Batch:
        """With a generator the images are drawn for a random epoch; `DigitStream` draws them for its own."""
        if generator is not None:
            epoch = int(torch.randint(1, 2**62, (), generator=generator))
            examples = [one if one.image is not None else self.drawn(one.split, [one.row], epoch)[0]
                        for one in examples]  # fmt: skip
        labels = torch.tensor([example.labels or (0,) * self.kind.digits for example in examples])
        return Batch(self._images(examples)[:, None], labels if self.kind.digits > 1 else labels[:, 0])

    def _images(self, examples: Sequence[Example]) -> Float[Tensor, "b y x"]:
        own = [example.image for example in examples]
        splits = {example.split for example in examples}
        if len(splits) > 1:
            return torch.cat([self._images([example]) for example in examples])
        [split] = splits
        if own[0] is not None:
            return torch.stack([image for image in own if image is not None])
        rows = torch.tensor([example.row for example in examples])
        return self.kind.images(self.digits[split], rows, self._keys(examples))

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
