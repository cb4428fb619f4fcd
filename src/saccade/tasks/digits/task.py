"""The digits task: images made of handwritten digits, and the share of them that is read wrongly."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.task import Figure, Score, Series
from saccade.tasks.digits.batch import Batch, Bound, Example, Prediction
from saccade.tasks.digits.config import DigitsConfig
from saccade.tasks.digits.draws import Keys, keys_of
from saccade.tasks.digits.image_file import read_image
from saccade.tasks.digits.mnist import SPLITS, Digits, embedded, from_hub, read_mnist
from saccade.tasks.image_file import png


class DigitsTask:
    """Images of digits. The metric is the share of images with a wrong digit, in %; of binarised images the bound on
    the negative log-likelihood of an image, in nats, which the model's predictions hold.

    What is drawn for an image is a function of the seed, the split, the digit and, in training, the epoch.
    """

    direction: Literal["min"] = "min"
    accepts: tuple[str, ...] = ("image/*",)
    classes: tuple[str, ...] = tuple(map(str, range(10)))

    def __init__(self, config: DigitsConfig) -> None:
        self.config, self.kind = config, config.kind
        self.metric, self.unit = ("nats", "nats") if self.kind.modelled else ("error", "%")
        self._examples: dict[str, list[Example]] = {}

    @cached_property
    def digits(self) -> dict[str, Digits]:
        """The digits of each split."""
        config = self.config
        if config.hub:
            found = from_hub(config.hub)
        else:
            found = embedded() if config.folder is None else read_mnist(config.folder)
        return found | {"train": found["train"].part(slice(config.training_examples))}

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

    def boxes(self, examples: Sequence[Example]) -> Int[Tensor, "b 4"]:
        """Where the digits of translated and cluttered images are: top, left, bottom and right of their ink, in pixels,
        the last two excluded.

        Raises:
            InvalidInput: images of another kind, a user's image, or examples of several splits.
        """
        if len({example.split for example in examples}) != 1 or any(one.image is not None for one in examples):
            raise InvalidInput("expected examples of one split, whose digits were placed by this task")
        rows = torch.tensor([example.row for example in examples])
        return self.kind.boxes(self.digits[examples[0].split], rows, self._keys(examples))

    def score(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Score:
        """The error, and for single digits the error of each; of binarised images the means of the bounds."""
        if self.kind.modelled:
            return Score({**bounds(predictions), "images": Figure(len(predictions))})
        wrong = [said(ours) != example.labels for ours, example in zip(predictions, examples, strict=True)]
        figures = {"error": Figure(100 * sum(wrong) / len(wrong), "%"), "images": Figure(len(wrong))}
        if self.kind.digits > 1:
            missed = [ours != right for one, example in zip(predictions, examples, strict=True)
                      for ours, right in zip_longest(said(one)[: self.kind.digits], example.labels)]  # fmt: skip
            figures["digit_error"] = Figure(100 * sum(missed) / len(missed), "%", "error of a digit", self.kind.digits)
            return Score(figures)
        own: dict[int, list[bool]] = {digit: [] for digit in range(10)}
        for failed, example in zip(wrong, examples, strict=True):
            own[example.labels[0]].append(failed)
        seen = {digit: found for digit, found in own.items() if found}
        errors = [100 * sum(found) / len(found) for found in seen.values()]
        counts = [len(found) for found in seen.values()]
        return Score(figures, {"by_digit": Series(list(seen), errors, "digit", "error (%)", counts=counts)})

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for split in SPLITS:
            for part in self.digits[split]:
                digest.update(part.numpy().tobytes())
        digest.update(repr((self.config.draw, self.kind)).encode())
        source = "3,000 digits of MNIST" if self.config.folder is None and not self.config.hub else "MNIST"
        return {
            "data": f"{source}, {self.kind.name}",
            "images": {split: len(self.digits[split].labels) for split in SPLITS},
            "sha256": digest.hexdigest(),
        }

    def read(self, raw: str | bytes) -> Example:
        """Make an example from the path or the bytes of an image.

        A digit is scaled to 20 pixels and centred as in MNIST, or stays where it lies on the canvas; images with
        clutter or several digits are scaled as a whole. Dark ink on a light background is inverted.

        Raises:
            NotFound: no such file.
            InvalidInput: not an image, damaged, too large, or without anything to see.
        """
        image, notes = read_image(raw, self.kind.size, self.kind.fit)
        if self.kind.modelled:
            image = (image > 0.5).float()
        return Example("", 0, (), image=image, notes=notes)

    def notes(self, example: Example) -> list[str]:
        return list(example.notes)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """The bytes of PNG files."""
        return [png(image[0]) for image in self.collate(self.examples("test")[:count]).images]

    def decode(self, prediction: Prediction) -> str:
        if isinstance(prediction, Bound):
            return f"at most {prediction.nats:.2f} nats"
        return " ".join(map(str, said(prediction)))

    def compare(self, example: Example, prediction: Prediction) -> Mapping[str, str]:
        right = " ".join(map(str, example.labels)) if example.labels else "?"
        if isinstance(prediction, Bound):
            return {"digit": right, "bound": self.decode(prediction)}
        return {"ours": self.decode(prediction), "right": right}


def said(prediction: Prediction) -> tuple[int, ...]:
    """The digits of a prediction; none of a bound."""
    if isinstance(prediction, Bound):
        return ()
    return (prediction,) if isinstance(prediction, int) else tuple(prediction)


def bounds(predictions: Sequence[Any]) -> dict[str, Figure]:
    """The means of the bounds and of their terms, if all predictions have them."""
    names = {"nats": "nats", "reconstruction": "", "divergence": "", "weighted": "importance-weighted bound"}
    found = {}
    for key, name in names.items():
        values = [getattr(prediction, key) for prediction in predictions]
        if None not in values:
            found[key] = Figure(sum(values) / len(values), "nats", name)
    return found
