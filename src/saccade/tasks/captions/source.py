"""Where images and captions come from: scenes that are drawn, or photos that are read (`photos.py`)."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from saccade.tasks.captions import scenes
from saccade.tasks.captions.grammar import Thing

SPLITS = ("train", "validation", "test")


class Source:
    """Images with captions, in three splits."""

    name: str
    """Its name, with what must be said beside each number."""
    texts: Sequence[str] = ()
    """Training captions whose images are not at hand."""

    @cached_property
    def captions(self) -> Mapping[str, Sequence[tuple[str, ...]]]:
        """The captions of each image of a split, as words separated by spaces."""
        raise NotImplementedError

    def pixels(self, split: str, rows: Sequence[int]) -> UInt8[Tensor, "b 3 y x"]:
        """These images.

        Raises:
            InvalidInput: a file that is no image, or damaged, by its name.
        """
        raise NotImplementedError

    def keys(self, split: str, rows: Sequence[int]) -> tuple[str, ...]:
        """The key of each image: equal keys mean equal pixels."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """A SHA-256 of images and captions."""
        raise NotImplementedError


class SceneSource(Source):
    """Scenes.

    Args:
        counts: the scenes of each split.
        seed: the seed of all that is drawn.
        size: rows and columns.
        largest_first: the share of captions that begin with the largest object.
    """

    def __init__(self, counts: Mapping[str, int], seed: int, size: int, largest_first: float = 0.0) -> None:
        self.counts, self.seed, self.size, self.largest_first = counts, seed, size, largest_first
        self.name = "scenes of two or three shapes"

    @cached_property
    def things(self) -> Mapping[str, list[list[Thing]]]:
        """The objects of each scene, in pixels of the image."""
        found = {}
        for split, count in self.counts.items():
            own = scenes.things(scenes.drawn(self._keys(split, range(count))))
            scale = self.size / scenes.SIDE
            found[split] = own if scale == 1 else [[thing.scaled(scale) for thing in one] for one in own]
        return found

    @cached_property
    def captions(self) -> Mapping[str, Sequence[tuple[str, ...]]]:
        return {
            split: scenes.captions(self._keys(split, range(count)), self.things[split], self.largest_first)
            for split, count in self.counts.items()
        }

    def _keys(self, split: str, rows: Sequence[int]) -> Any:
        return scenes.keys_of_scenes(self.seed, split, rows)

    def pixels(self, split: str, rows: Sequence[int]) -> UInt8[Tensor, "b 3 y x"]:
        keys = self._keys(split, rows)
        found = scenes.images(keys, scenes.drawn(keys))
        if self.size == scenes.SIDE:
            return found
        large = F.interpolate(found.float(), (self.size, self.size), mode="bilinear", antialias=True)
        return large.round().clamp(0, 255).byte()

    def keys(self, split: str, rows: Sequence[int]) -> tuple[str, ...]:
        return tuple(f"scene {scenes.VERSION}.{self.seed} {split} {row}" for row in rows)

    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr(self.captions).encode())
        for split, count in self.counts.items():
            digest.update(self.pixels(split, range(min(count, 64))).contiguous().numpy().tobytes())
        return digest.hexdigest()


def scaled(pixels: UInt8[Tensor, "b 3 y x"]) -> Tensor:
    """Bytes as the encoders take them, about -1 to 1."""
    return (pixels.float() - 127) / 128


def bytes_of(pixels: Tensor) -> UInt8[Tensor, "b 3 y x"]:
    """The inverse of `scaled`."""
    return (pixels * 128 + 127).round().clamp(0, 255).to(torch.uint8)
