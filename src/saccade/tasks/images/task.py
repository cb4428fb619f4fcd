"""The images task: labelled images, and the share of them that is classified rightly."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.core.files import read_record, write_atomically
from saccade.core.task import Figure, Score, Series
from saccade.tasks.digits import DigitsConfig, DigitsTask
from saccade.tasks.digits.image_file import read_image
from saccade.tasks.image_file import contents, png
from saccade.tasks.images.augmentation import Elite, moved
from saccade.tasks.images.batch import Batch, Example, Ranked
from saccade.tasks.images.cifar10 import read_cifar10
from saccade.tasks.images.config import Cifar10, Digits, Folder, Hub, ImagesConfig
from saccade.tasks.images.data import Data, completed, fits, in_memory, part, portion
from saccade.tasks.images.folder import read_folder
from saccade.tasks.images.hub import from_hub
from saccade.tasks.images.learned import Learned, checked, moments
from saccade.tasks.images.mixing import erased, mixed
from saccade.tasks.images.pixels import Pixels, decoded, fitted, recoloured
from saccade.tasks.images.rand_augment import rand_augment

SPLITS = ("train", "validation", "test")
FILE = "images.json"
BEST = 5  # classes of a prediction
CONFUSIONS = 10
SAMPLE = 5000  # images of a split that does not fit into memory, of which the normalisation is learned


class ImagesTask:
    """Labelled images. The metric is the accuracy, in %; with more than five classes there is also the share of images
    whose class is among the five most probable.

    Args:
        config: where the images come from, and what is done to them.
        assets: a run's folder; its classes, sizes and normalisation are used, and nothing is learned again.
    """

    metric, unit = "accuracy", "%"
    direction: Literal["max"] = "max"
    accepts: tuple[str, ...] = ("image/*",)

    def __init__(self, config: ImagesConfig, assets: Path | None = None) -> None:
        self.config = config
        self._images: dict[str, UInt8[Tensor, "n c y x"] | None] = {}
        self._examples: dict[str, list[Example]] = {}
        self._kept: Learned | None = None
        if assets is not None:
            kept = read_record(assets / FILE, *Learned._fields)
            fields: dict[str, Any] = {
                name: tuple(one) if isinstance(one := kept[name], list) else one for name in Learned._fields
            }
            self._kept = checked(Learned(**fields), assets / FILE)

    @cached_property
    def data(self) -> Data:
        """The three splits, of the training images the share that is used.

        Raises:
            InvalidInput: also if a run was trained on other classes.
        """
        found = self._source()
        if self._kept is not None and found.classes != self._kept.classes:
            ours, theirs = (", ".join(names[:BEST]) for names in (found.classes, self._kept.classes))
            raise InvalidInput(f"{found.name}: its classes {ours}, ... are not those of the training: {theirs}, ...")
        found = completed(found, self.config.held_out, self.config.draw)
        train = found.splits["train"]
        rows = portion(train.labels, self.config.share, self.config.draw + 1)
        return found._replace(splits={**found.splits, "train": part(train, rows)})

    def _source(self) -> Data:
        size = self._kept.size if self._kept else self.config.size
        match self.config.source:
            case Digits(path=path):
                task = DigitsTask(DigitsConfig(folder=path))
                splits = {name: in_memory(digits.images[:, None], digits.labels, size, self.channels)
                          for name, digits in task.digits.items()}  # fmt: skip
                return Data(task.describe()["data"].split(",")[0] if path else "3,000 digits of MNIST",
                            tuple(map(str, range(10))), splits)  # fmt: skip
            case Cifar10(path=path):
                return read_cifar10(path, size, self.channels)
            case Folder(path=path):
                return read_folder(path, size, self.channels)
            case Hub(dataset=dataset):
                return from_hub(dataset, size, self.channels)

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        if self._kept is not None:
            return self._kept.channels
        return self.config.channels or (1 if isinstance(self.config.source, Digits) else 3)

    @property
    def side(self) -> int:
        """Rows and columns of an image."""
        return self.config.size or self.learned.size

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self._kept.classes if self._kept else self.data.classes

    def in_memory(self, split: str) -> UInt8[Tensor, "n c y x"] | None:
        """The pixels of a split, in memory from the first call on; None if they do not fit there."""
        if split not in self._images:
            found = self.data.splits[split]
            self._images[split] = found.pixels(torch.arange(len(found.labels))) if fits(found) else None
        return self._images[split]

    def images(self, split: str) -> UInt8[Tensor, "n c y x"]:
        """The pixels of a split, or of some of its images, evenly spaced, if they do not fit into memory."""
        whole, found = self.in_memory(split), self.data.splits[split]
        if whole is not None:
            return whole
        rows = torch.arange(len(found.labels))
        return found.pixels(rows[:: -(-len(rows) // SAMPLE)])

    def rows(self, split: str, rows: Int[Tensor, " m"]) -> UInt8[Tensor, "m c y x"]:
        """The pixels of these images of a split."""
        whole = self.in_memory(split)
        return self.data.splits[split].pixels(rows) if whole is None else whole[rows]

    @cached_property
    def learned(self) -> Learned:
        """The classes, sizes and normalisation."""
        if self._kept is not None:
            return self._kept
        images = self.images("train")
        mean, deviation = moments(images)
        if self.config.normalisation == "none":
            mean, deviation = (0.0,) * len(mean), (1.0,) * len(mean)
        return Learned(self.data.classes, images.shape[-1], images.shape[1], mean, deviation)

    def examples(self, split: str) -> Sequence[Example]:
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            labels = self.data.splits[split].labels.tolist()
            self._examples[split] = [Example(split, row, label) for row, label in enumerate(labels)]
        return self._examples[split]

    def collate(self, examples: Sequence[Example], generator: torch.Generator | None = None) -> Batch:
        """Without a generator the images as they are; with one augmented, and with smoothed labels."""
        pixels, record = self.pixels(examples), self.config.augmentation
        labels = torch.tensor([example.label or 0 for example in examples])
        targets = F.one_hot(labels, len(self.classes)).float()
        if generator is None:
            return Batch(self.normalised(pixels / 255), labels, targets)
        targets = (1 - self.config.smoothing) * targets + self.config.smoothing / len(self.classes)
        mirror = not isinstance(self.config.source, Digits)  # mirrored digits are others, or none
        images = moved(pixels, record, generator, mirror) / 255
        if not isinstance(record, Elite):
            return Batch(self.normalised(images), labels, targets)
        images = self.normalised(rand_augment(images, generator, record.operations, record.magnitude))
        images, targets = mixed(
            erased(images, generator, record.erasing), targets, generator, record.mixup, record.cutmix
        )
        return Batch(images, labels, targets)

    def pixels(self, examples: Sequence[Example]) -> UInt8[Tensor, "b c y x"]:
        """The images of the examples as bytes."""
        splits = {example.split for example in examples}
        if len(splits) == 1 and examples[0].image is None:
            return self.rows(examples[0].split, torch.tensor([example.row for example in examples]))
        return torch.stack([
            self.rows(example.split, torch.tensor([example.row]))[0] if example.image is None else example.image
            for example in examples
        ])  # fmt: skip

    def normalised(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """Images from 0 to 1 as the model takes them."""
        mean, deviation = (torch.tensor(part)[:, None, None] for part in (self.learned.mean, self.learned.deviation))
        return (images - mean) / deviation

    def score(self, predictions: Sequence[Ranked], examples: Sequence[Example]) -> Score:
        """The accuracy, that of each class, and the most frequent confusions."""
        right = [ours.labels[0] == one.label for ours, one in zip(predictions, examples, strict=True)]
        figures = {"accuracy": Figure(100 * sum(right) / len(right), "%"), "images": Figure(len(right))}
        if len(self.classes) > BEST:
            among = [one.label in ours.labels for ours, one in zip(predictions, examples, strict=True)]
            figures["top_5"] = Figure(100 * sum(among) / len(among), "%", "top-5 accuracy")
        seen = sorted({one.label for one in examples if one.label is not None})
        own = {label: [hit for hit, one in zip(right, examples, strict=True) if one.label == label] for label in seen}
        series = {
            "by_class": Series(
                [self.classes[label] for label in seen], [100 * sum(own[label]) / len(own[label]) for label in seen],
                "class", "accuracy (%)", "histogram", [len(own[label]) for label in seen],
            )
        }  # fmt: skip
        wrong = Counter(
            f"{self.classes[one.label]} as {self.classes[ours.labels[0]]}"
            for ours, one in zip(predictions, examples, strict=True)
            if one.label is not None and ours.labels[0] != one.label
        ).most_common(CONFUSIONS)
        if wrong:
            series["confusions"] = Series([pair for pair, _ in wrong], [count for _, count in wrong], "confusion",
                                          "images", "histogram")  # fmt: skip
        return Score(figures, series)

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256(repr(self.learned).encode())
        for split in SPLITS:
            digest.update(self.data.splits[split].labels.numpy().tobytes())
            digest.update(self.images(split).numpy().data)
        share = "" if self.config.share == 1 else f", {100 * self.config.share:g} % of the training images"
        return {
            "data": f"{self.data.name}{share}",
            "images": {split: len(self.data.splits[split].labels) for split in SPLITS},
            "classes": len(self.classes),
            "sha256": digest.hexdigest(),
        }

    def save(self, folder: Path) -> None:
        data = json.dumps(self.learned._asdict(), ensure_ascii=False)
        write_atomically(folder / FILE, (data + "\n").encode("utf-8"))

    def check_trained(self, trained: ImagesConfig) -> None:
        """Check that images are as large as in the training, in as many channels and with the same normalisation.

        Raises:
            InvalidInput: naming the field.
        """
        for name in ("size", "channels", "normalisation"):
            asked, learned = getattr(self.config, name), getattr(trained, name)
            if asked not in (learned, getattr(self.learned, name, learned)):
                raise InvalidInput(f"task.{name} was {learned!r} when this run was trained; it cannot be {asked!r} now")

    def read(self, raw: str | bytes) -> Example:
        """Make an example from the path or the bytes of an image, which is scaled as the training images are.

        Digits are centred and inverted as MNIST's (`tasks.digits`).

        Raises:
            NotFound: no such file.
            InvalidInput: not an image, damaged, too large, or no digit to see where one is expected.
        """
        if isinstance(self.config.source, Digits):
            seen = read_image(raw, 28, "digit")
            grey = (seen.image * 255).round().byte()[None, None]
            found = Pixels(recoloured(grey, self.channels)[0], seen.notes)
        else:
            found = decoded(contents(raw), "the image" if isinstance(raw, bytes) else raw.strip(), self.channels)
        notes, (height, width) = found.notes, found.image.shape[1:]
        if height != width:
            notes = (*notes, f"the middle of {width} x {height} pixels")
        return Example("", 0, None, fitted(found.image, self.side).contiguous(), notes)

    def notes(self, example: Example) -> list[str]:
        return list(example.notes)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """The bytes of PNG files."""
        if isinstance(self.config.source, Digits):
            return DigitsTask(DigitsConfig(folder=self.config.source.path)).examples_to_type(count)
        return [png(image) for image in self.pixels(self.examples("test")[:count])]

    def decode(self, prediction: Ranked) -> str:
        """The most probable classes, but for those below 1 %."""
        found = self.ranking(prediction)
        shown = [one for one in found if one[2] >= 0.01] or found[:1]
        return ", ".join(f"{name} ({100 * probability:.0f} %)" for _, name, probability in shown)

    def ranking(self, prediction: Ranked) -> list[tuple[int, str, float]]:
        """Number, name and probability of the most probable classes, best first."""
        pairs = zip(prediction.labels, prediction.probabilities, strict=True)
        return [(label, self.classes[label], probability) for label, probability in pairs]

    def compare(self, example: Example, prediction: Ranked) -> Mapping[str, str]:
        right = "?" if example.label is None else self.classes[example.label]
        return {"ours": self.decode(prediction), "right": right}
