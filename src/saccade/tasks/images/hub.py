"""A data set of the hub that has a column of images and one of classes."""

from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from saccade.core.errors import InvalidInput, require
from saccade.tasks.image_file import bytes_of
from saccade.tasks.images.data import Data, Split
from saccade.tasks.images.folder import SPLITS
from saccade.tasks.images.pixels import fitted


def from_hub(dataset: str, size: int | None, channels: int) -> Data:
    """The images of a data set, which the hub's library downloads and keeps.

    Raises:
        MissingExtra: the hub's library is not installed.
        InvalidInput: it could not be read, has no training split, or no column of images or of classes.
    """
    datasets: Any = require("datasets", "hub")
    try:
        found: Any = datasets.load_dataset(dataset)
    except Exception as error:  # network, authentication and missing data sets raise different classes
        raise InvalidInput(
            f"{dataset} could not be downloaded from the hub ({type(error).__name__}: {error}); images of your own are "
            "read with --task.source folder --task.folder.path FOLDER"
        ) from error
    if "train" not in found:
        raise InvalidInput(f"the hub's {dataset} has no split 'train'; there are: {', '.join(found)}")
    features = found["train"].features
    images = [name for name, kind in features.items() if type(kind).__name__ == "Image"]
    labels = [name for name, kind in features.items() if type(kind).__name__ == "ClassLabel"]
    if not images or not labels:
        raise InvalidInput(
            f"the hub's {dataset} needs a column of images and one of classes; its columns: {', '.join(features)}"
        )
    side = size or own_side(found["train"][0][images[0]], dataset)
    splits = {}
    for split, names in SPLITS.items():
        name = next((name for name in names if name in found), None)
        if name and min(found[name][labels[0]]) >= 0:  # labels of some tests are secret, and -1 instead
            splits[split] = of_rows(found[name], images[0], labels[0], side, channels, exact=size is None)
    return Data(f"{dataset} of the hub", tuple(map(str, features[labels[0]].names)), splits)


def own_side(image: Any, dataset: str) -> int:
    """The side of a square image, which all others must have."""
    wide, high = image.size
    if wide != high:
        raise InvalidInput(f"images of {dataset} have {wide} x {high} pixels: choose rows and columns with --task.size")
    return int(wide)


def of_rows(rows: Any, image: str, label: str, size: int, channels: int, exact: bool) -> Split:
    """A split whose images are decoded when they are asked for."""

    def pixels(asked: Tensor) -> UInt8[Tensor, "m c y x"]:
        found = torch.empty(len(asked), channels, size, size, dtype=torch.uint8)
        for place, row in enumerate(asked.tolist()):
            own = torch.from_numpy(np.array(bytes_of(rows[row][image], channels))).permute(2, 0, 1)
            if exact and own.shape[1:] != (size, size):
                raise InvalidInput(
                    f"image {row} has {own.shape[2]} x {own.shape[1]} pixels, and others {size} x {size}: choose rows "
                    "and columns for all with --task.size"
                )
            found[place] = fitted(own, size)
        return found

    return Split(torch.tensor(rows[label]), pixels)
