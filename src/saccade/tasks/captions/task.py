"""The captions task: images and sentences about them."""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.files import read_record, write_atomically
from saccade.core.task import Score
from saccade.tasks.captions.batch import Batch, Box, Example, Said
from saccade.tasks.captions.config import CaptionsConfig
from saccade.tasks.captions.fixed_points import COMPARED, best_constant, nearest, thumbnails
from saccade.tasks.captions.flickr8k import read_flickr8k
from saccade.tasks.captions.grammar import Thing, boxes, judged
from saccade.tasks.captions.own import read_own
from saccade.tasks.captions.photos import PhotoSource, key_of, read_photo
from saccade.tasks.captions.scenes import SIDE
from saccade.tasks.captions.score import score
from saccade.tasks.captions.sentences import Sentences
from saccade.tasks.captions.source import SPLITS, SceneSource, Source, scaled
from saccade.tasks.captions.words import SPECIAL, Words
from saccade.tasks.image_file import png
from saccade.tasks.meteor import stems

FILE = "captions.json"
PHOTO = 224
PART = 64  # images at a time


class CaptionsTask(Sentences):
    """Images with captions. The metric is, of scenes, the share of captions of which all holds, in %; of photos,
    CIDEr-D.

    Args:
        config: where images and captions come from.
        assets: a run's folder; its vocabulary and size are used, and nothing is learned again.
    """

    direction: Literal["max"] = "max"
    accepts: tuple[str, ...] = ("image/*",)

    def __init__(self, config: CaptionsConfig, assets: Path | None = None) -> None:
        self.config = config
        self.drawn = config.folder is None and config.train is None
        self._examples: dict[str, list[Example]] = {}
        self.metric, self.unit = ("true", "%") if self.drawn else ("cider", "")
        if assets is None:
            stems(config.language)  # an unknown language is refused before a training, not at its end
            self.side = config.size or (SIDE if self.drawn else PHOTO)
            learned = [caption for five in self.source.captions["train"] for caption in five]
            vocabulary = Words.learn([*learned, *self.source.texts], config.rarest, config.words)
            self.constant = best_constant(self.source.captions["train"])
        else:
            kept = read_record(assets / FILE, "words", "size", "constant")
            self.side, vocabulary, self.constant = kept["size"], Words(kept["words"]), kept["constant"]
        super().__init__(vocabulary, config.longest)

    @cached_property
    def source(self) -> Source:
        """Where images and captions come from; read when it is first needed, and not for a user's image."""
        config = self.config
        if self.drawn:
            counts = {"train": config.scenes, "validation": config.judged, "test": config.judged}
            return SceneSource(counts, config.draw, self.side, config.largest_first)
        if config.folder is not None:
            photos, texts = read_flickr8k(config.folder)
            return PhotoSource(f"Flickr8k ({config.folder.name})", photos, texts if config.texts else (), self.side)
        return PhotoSource(config.train.name if config.train else "", read_own(config), (), self.side)

    def examples(self, split: str) -> Sequence[Example]:
        """One example for each caption in training, else one for each image."""
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            rows = list(enumerate(self.source.captions[split]))
            each = slice(None) if split == "train" else slice(1)
            self._examples[split] = [
                Example(split, row, own, self.symbols(caption), cut=self.is_cut(caption))
                for row, own in rows for caption in own[each]
            ]  # fmt: skip
        return self._examples[split]

    @cached_property
    def thumbnails(self) -> Float[Tensor, "n d"]:
        """Small copies of the first training images."""
        rows = range(min(COMPARED, len(self.source.captions["train"])))
        return thumbnails(lambda some: self.source.pixels("train", some), rows)

    def known(self) -> Iterator[tuple[Tensor, tuple[str, ...], list[tuple[int, ...]]]]:
        """The first training images in parts: pixels, keys, and the symbols of the first caption of each."""
        captions = self.source.captions["train"]
        count = min(COMPARED, len(captions))
        for first in range(0, count, PART):
            rows = range(first, min(first + PART, count))
            symbols = [self.symbols(captions[row][0]) for row in rows]
            yield scaled(self.source.pixels("train", rows)), self.source.keys("train", rows), symbols

    @cached_property
    def texts(self) -> Sequence[Example]:
        """Training captions without an image, to warm up the language part."""
        return [
            Example("texts", row, (text,), self.symbols(text), cut=self.is_cut(text))
            for row, text in enumerate(self.source.texts)
        ]

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        """Images are drawn or read here. With a generator, that is, in training, there are no references; nothing is
        augmented.

        Raises:
            InvalidInput: a photo that cannot be read, by its name; captions without an image beside images.
        """
        tokens = self.tokens(examples, judged=generator is None)
        alone = {example.split == "texts" for example in examples}
        if alone == {True}:
            return Batch(torch.zeros(0, 3, self.side, self.side), (), *tokens)
        if True in alone:
            raise InvalidInput("expected a batch of images, or one of captions without images, not both")
        return Batch(scaled(self.pixels(examples)), self.keys(examples), *tokens)

    def pixels(self, examples: Sequence[Example]) -> UInt8[Tensor, "b 3 y x"]:
        """The images of the examples as bytes."""
        splits = {example.split for example in examples if example.image is None}
        if len(splits) == 1 and all(example.image is None for example in examples):
            return self.source.pixels(splits.pop(), [example.row for example in examples])
        return torch.stack([
            self.source.pixels(example.split, [example.row])[0] if example.image is None else example.image
            for example in examples
        ])  # fmt: skip

    def keys(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """The key of each image."""
        return tuple(example.key or self.source.keys(example.split, [example.row])[0] for example in examples)

    def things(self, example: Example) -> Sequence[Thing]:
        """The objects of a scene; none of a photo and of a user's image."""
        if not isinstance(self.source, SceneSource) or example.image is not None:
            return ()
        return self.source.things[example.split][example.row]

    def boxes(self, example: Example, symbols: Sequence[int]) -> list[Box | None]:
        """For each symbol of a caption of a scene the box of the object that it names, in pixels of the batch; None for
        other words, and for objects that are not there."""
        return boxes(" ".join(self.vocabulary.decode(symbols)), self.things(example))

    def score(self, predictions: Sequence[Said], examples: Sequence[Example]) -> Score:
        texts, references = [self.decode(one) for one in predictions], [example.references for example in examples]
        others = {"constant": [self.constant] * len(texts), "nearest": self._nearest(predictions, examples)}

        def judge(said: Sequence[str]) -> list[dict[str, float]]:
            found = [judged(text, self.things(example)) for text, example in zip(said, examples, strict=True)]
            return [{"true": float(one.true), "objects_right": float(one.objects)} for one in found]

        return score(
            predictions, references, texts, self.vocabulary, others, judge if self.drawn else None, self.config.language
        )

    def _nearest(self, predictions: Sequence[Said], examples: Sequence[Example]) -> Sequence[str]:
        """The caption of the training image that is nearest by the system's features, or by small copies."""
        own = [one.nearest for one in predictions]
        if all(symbols is not None for symbols in own):
            return [" ".join(self.vocabulary.decode(symbols or ())) for symbols in own]
        ours = thumbnails(lambda rows: self.pixels([examples[row] for row in rows]), range(len(examples)))
        return [self.source.captions["train"][row][0] for row in nearest(ours, self.thumbnails)]

    def describe(self) -> dict[str, Any]:
        cut = sum(example.cut for example in (*self.examples("train"), *self.texts))
        count = f", {cut:,} training caption{'s' * (cut > 1)} cut to {self.longest} words" if cut else ""
        return {
            "data": self.source.name + count,
            "images": {split: len(self.source.captions[split]) for split in SPLITS},
            "captions": {split: sum(map(len, self.source.captions[split])) for split in SPLITS},
            "words": len(self.words) - len(SPECIAL),
            "sha256": self.source.fingerprint(),
        }

    def save(self, folder: Path) -> None:
        learned = {"words": self.words[len(SPECIAL) :], "size": self.side, "constant": self.constant}
        data = json.dumps(learned, ensure_ascii=False)
        write_atomically(folder / FILE, (data + "\n").encode("utf-8"))

    def check_trained(self, trained: CaptionsConfig) -> None:
        """Check that images are as large as in the training.

        Raises:
            InvalidInput: naming the field.
        """
        if self.config.size not in (trained.size, self.side):
            asked = self.config.size
            raise InvalidInput(f"task.size was {self.side} when this run was trained; it cannot be {asked} now")

    def read(self, raw: str | bytes) -> Example:
        """Make an example from the path or the bytes of an image, which is scaled as the training images are.

        Raises:
            NotFound: no such file.
            InvalidInput: not an image, damaged, or too large.
        """
        found = read_photo(raw, self.side)
        return Example("", 0, (), (), found.image, key_of(found.image), found.notes)

    def notes(self, example: Example) -> list[str]:
        return list(example.notes)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """The bytes of PNG files."""
        return [png(image) for image in self.pixels(self.examples("test")[:count])]
