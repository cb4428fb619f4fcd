"""A user's picture as a published classifier takes it: resized, cut and normalised as its weights were trained.

The configuration of Hugging Face image processors, preprocessor_config.json, is read here, since their own code needs
packages that this library does not.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from saccade.core.errors import InvalidInput, NotFound
from saccade.tasks.image_file import DAMAGED, WIDEST, coloured, contents, opened

BILINEAR = 2  # of pillow
LARGEST = 4096  # rows and columns that a configuration may ask for
# processors for which a size of one number is the shorter side
SHORTER = ("ConvNext", "Bit", "CLIP", "MobileNet", "MobileViT", "PoolFormer", "Levit", "EfficientFormer")
Size = int | tuple[int, int]


class Photo(NamedTuple):
    """A picture for a classifier."""

    pixels: Float[Tensor, "1 c y x"]
    """As the network takes it."""
    shown: Any
    """As a person sees the same part: (c, y, x)."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preparation:
    """Resize, cut the middle, scale to 0..1, normalise. The defaults are those of most networks for ImageNet."""

    resize: Size | None = 256
    """The shorter side, or rows and columns; None: not resized."""
    crop: Size | None = 224
    """Rows and columns cut from the middle; None: nothing is cut."""
    mean: Sequence[float] = (0.485, 0.456, 0.406)
    deviation: Sequence[float] = (0.229, 0.224, 0.225)
    factor: float = 1 / 255
    """What bytes are multiplied by."""
    way: int = BILINEAR
    """Pillow's number of the way to resize."""
    flipped: bool = False
    """Whether the channels are blue, green, red."""

    def read(self, raw: str | bytes) -> Photo:
        """The picture of a file's path or bytes.

        Raises:
            NotFound: no such file.
            InvalidInput: no picture, or a damaged one.
        """
        name = "the image" if isinstance(raw, bytes) else raw.strip()
        found, notes = opened(contents(raw), name)
        try:
            image = self.cut(self.resized(coloured(found)))
        except DAMAGED as error:
            raise InvalidInput(f"{name} is damaged: {error}") from None
        shown = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
        pixels = shown.flip(0) if self.flipped else shown
        mean, deviation = (torch.tensor(part).view(-1, 1, 1) for part in (self.mean, self.deviation))
        return Photo(((pixels.float() * self.factor - mean) / deviation)[None], shown, notes)

    def resized(self, image: Any) -> Any:
        if self.resize is None:
            return image
        if isinstance(self.resize, tuple):
            return image.resize(self.resize[::-1], self.way)
        wide, high = (min(side, WIDEST * min(image.size)) for side in image.size)
        image = middle(image, high, wide)
        short = min(wide, high)
        return image.resize((int(self.resize * wide / short), int(self.resize * high / short)), self.way)

    def cut(self, image: Any) -> Any:
        """The middle; what is beyond the picture is black."""
        if self.crop is None:
            return image
        return middle(image, *((self.crop, self.crop) if isinstance(self.crop, int) else self.crop))


def middle(image: Any, high: int, wide: int) -> Any:
    """The middle of a picture of pillow's."""
    left, top = (image.size[0] - wide) // 2, (image.size[1] - high) // 2
    return image.crop((left, top, left + wide, top + high))


def of_processor(folder: Path) -> Preparation:
    """What preparation a Hugging Face folder asks for.

    Raises:
        NotFound: it has no preprocessor_config.json.
        InvalidInput: a damaged file; a size that is not understood.
    """
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        raise NotFound(f"{folder} has no preprocessor_config.json, which says how a picture is resized and normalised")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return checked(prepared(said))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InvalidInput(f"{path}: not understood ({error})") from error


def checked(found: Preparation) -> Preparation:
    """The preparation, if a picture can be prepared so."""
    for size in (found.resize, found.crop):
        if not all(0 < side <= LARGEST for side in (size if isinstance(size, tuple) else (size or 1,))):
            raise ValueError(f"size {size}, of at most {LARGEST:,} pixels")
    numbers = (*found.mean, *found.deviation, found.factor)
    if not (len(found.mean) == len(found.deviation) == 3 and all(map(math.isfinite, numbers))):
        raise ValueError("image_mean and image_std need three finite numbers each")
    if min(found.deviation) <= 0:
        raise ValueError(f"image_std {list(found.deviation)}, not above 0")
    if found.way not in range(6):
        raise ValueError(f"resample {found.way}, which is no way of pillow's to resize")
    return found


def prepared(said: dict[str, Any]) -> Preparation:
    """The preparation of a processor's configuration. A size that is one number is the shorter side for some
    processors, and both sides for others."""
    kind = str(said.get("image_processor_type", said.get("feature_extractor_type", "")))
    size = sides(said.get("size"), kind.startswith(SHORTER))
    crop = sides(said.get("crop_size", said.get("size")), False) if said.get("do_center_crop") else None
    if said.get("do_resize", True):
        if size is None:
            raise ValueError("it gives no size")
        size, crop = enlarged(kind, size, crop, said.get("crop_pct"))
    normal, rescaled = said.get("do_normalize", not kind.startswith("MobileViT")), said.get("do_rescale", True)
    return Preparation(
        resize=size if said.get("do_resize", True) else None,
        crop=crop,
        mean=tuple(said["image_mean"]) if normal else (0.0,) * 3,
        deviation=tuple(said["image_std"]) if normal else (1.0,) * 3,
        factor=float(said.get("rescale_factor", 1 / 255)) if rescaled else 1.0,
        way=int(said.get("resample", BILINEAR)),
        flipped=bool(said.get("do_flip_channel_order", False)),
    )


def enlarged(kind: str, size: Size, crop: Size | None, share: float | None) -> tuple[Size, Size | None]:
    """The sizes of processors that resize to more than their size, of which they cut a share."""
    if isinstance(size, tuple):
        return size, crop
    if kind.startswith("Levit"):
        return int(256 / 224 * size), crop
    if not share:
        return size, crop
    if kind.startswith("ConvNext") and size >= 384:
        return (size, size), None
    return int(size / share), crop or (size, size)


def sides(said: Any, shorter: bool) -> Size | None:
    """The shorter side, or rows and columns."""
    if isinstance(said, int):
        return said if shorter else (said, said)
    if said is None:
        return None
    if isinstance(said, list | tuple):
        return int(said[0]), int(said[1])
    if "height" in said and "width" in said:
        return int(said["height"]), int(said["width"])
    if set(said) == {"shortest_edge"}:
        return int(said["shortest_edge"])
    raise ValueError(f"size {said}")
