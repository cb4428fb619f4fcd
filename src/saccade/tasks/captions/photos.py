"""Photos with captions: files that are read when they are needed, the same way for training and for a user's."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.files import naming
from saccade.tasks.captions.source import SPLITS, Source
from saccade.tasks.captions.words import words_of
from saccade.tasks.image_file import contents
from saccade.tasks.images.pixels import Pixels, decoded, fitted

KEPT = 2**30  # bytes of pixels that stay in memory


class Stored(NamedTuple):
    """Where the bytes of a photo are: a file, or a part of an archive."""

    file: Path
    name: str
    """For errors."""
    offset: int = 0
    length: int | None = None
    """None: the whole file."""

    def read(self) -> bytes:
        if self.length is None:
            return contents(str(self.file))
        with naming(self.file), self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


class Photo(NamedTuple):
    """A photo and its captions, as words separated by spaces."""

    stored: Stored
    captions: tuple[str, ...]


class PhotoSource(Source):
    """Photos of files.

    Args:
        name: the name of the data.
        photos: those of each split.
        texts: training captions whose photos are not at hand.
        size: rows and columns.

    Raises:
        InvalidInput: a photo in two splits, or a split without photos; from `fingerprint`, copies of it in two.
    """

    def __init__(self, name: str, photos: Mapping[str, Sequence[Photo]], texts: Sequence[str], size: int) -> None:
        check_splits(photos)
        self.name, self.photos, self.texts, self.size = name, photos, texts, size
        self._kept: dict[tuple[str, int], UInt8[Tensor, "3 y x"]] = {}
        self._keys: dict[tuple[str, int], str] = {}

    @cached_property
    def captions(self) -> Mapping[str, Sequence[tuple[str, ...]]]:
        return {split: [photo.captions for photo in self.photos[split]] for split in SPLITS}

    def pixels(self, split: str, rows: Sequence[int]) -> UInt8[Tensor, "b 3 y x"]:
        return torch.stack([self._pixels(split, row) for row in rows])

    def _pixels(self, split: str, row: int) -> UInt8[Tensor, "3 y x"]:
        found = self._kept.get((split, row))
        if found is None:
            stored = self.photos[split][row].stored
            found = squared(stored.read(), stored.name, self.size).image
            self._keys[split, row] = key_of(found)
            if (len(self._kept) + 1) * found.numel() <= KEPT:
                self._kept[split, row] = found
        return found

    def keys(self, split: str, rows: Sequence[int]) -> tuple[str, ...]:
        for row in rows:
            if (split, row) not in self._keys:
                self._pixels(split, row)
        return tuple(self._keys[split, row] for row in rows)

    def fingerprint(self) -> str:
        """A SHA-256 of photos and captions.

        Raises:
            InvalidInput: copies of one photo in two splits.
        """
        digest = hashlib.sha256(repr([self.captions, self.texts]).encode("utf-8"))
        seen: dict[bytes, tuple[str, str]] = {}
        for split in SPLITS:
            for photo in self.photos[split]:
                data, name = photo.stored.read(), photo.stored.name
                digest.update(data)
                other, first = seen.setdefault(hashlib.sha256(data).digest(), (split, name))
                if other != split:
                    raise InvalidInput(f"{first}, of {other}, and {name}, of {split}, are the same photo; remove one")
        return digest.hexdigest()


def read_photo(raw: str | bytes, size: int) -> Pixels:
    """The middle square of a user's image, as the training photos are read.

    Raises:
        NotFound: no such file.
        InvalidInput: not an image, damaged, or too large.
    """
    return squared(contents(raw), "the image" if isinstance(raw, bytes) else raw.strip(), size)


def squared(data: bytes, name: str, size: int) -> Pixels:
    """The middle square of an image in colour, scaled to `size` x `size` pixels."""
    image, notes = decoded(data, name, 3)
    height, width = image.shape[1:]
    if height != width:
        notes = (*notes, f"the middle of {width} x {height} pixels")
    return Pixels(fitted(image, size).contiguous(), notes)


def key_of(image: UInt8[Tensor, "3 y x"]) -> str:
    """A name of the pixels themselves, so that a photo has the same key wherever it comes from."""
    return hashlib.sha256(image.numpy().tobytes()).hexdigest()


def caption_of(text: str, place: str) -> str:
    """A caption as words separated by spaces.

    Raises:
        InvalidInput: it has no word.
    """
    if not (words := words_of(text)):
        raise InvalidInput(f"{place}: the caption {text.strip()[:60]!r} has no word")
    return " ".join(words)


def check_splits(photos: Mapping[str, Sequence[Photo]]) -> None:
    seen: dict[tuple[Path, int], str] = {}
    for split in SPLITS:
        if not photos[split]:
            raise InvalidInput(f"there is no {split} photo")
        for photo in photos[split]:
            at = photo.stored.file.resolve(), photo.stored.offset
            if seen.setdefault(at, split) != split:
                raise InvalidInput(f"{photo.stored.name} is in two splits, {seen[at]} and {split}")
