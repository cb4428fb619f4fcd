"""MNIST: the embedded 3,000 digits, or all of a folder or of the hub (LeCun, Bottou, Bengio & Haffner 1998).

A file has a header of big-endian numbers of 4 bytes: 2051 (images) or 2049 (labels), how many, and for images the rows
and columns; then a byte for each pixel or label.
"""

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from saccade.core.errors import InvalidInput, NotFound, require
from saccade.core.files import against, read_unpacked

SIDE = 28
SPLITS = ("train", "validation", "test")
EMBEDDED = {"train": slice(2200), "validation": slice(2200, 2500), "test": slice(2500, 3000)}
"""The embedded digits of each split: 220, 30 and 50 of each class."""
HELD_OUT = 5000
"""The last images of the 60,000 for training, which are the validation split; the test split is MNIST's own."""
SETS = {"train": "train", "test": "t10k"}


class Digits(NamedTuple):
    """Images, white on black, and their classes."""

    images: UInt8[Tensor, "n 28 28"]
    labels: Int[Tensor, " n"]

    def part(self, rows: slice) -> "Digits":
        return Digits(self.images[rows], self.labels[rows])


@cache
def embedded() -> dict[str, Digits]:
    """The embedded digits, by split."""
    folder = resources.files("saccade.tasks.digits").joinpath("data")
    with (
        resources.as_file(folder.joinpath("mnist-3000-images-idx3-ubyte.gz")) as images,
        resources.as_file(folder.joinpath("mnist-3000-labels-idx1-ubyte.gz")) as labels,
    ):
        found = read_pair(images, labels)
    return {split: found.part(rows) for split, rows in EMBEDDED.items()}


def read_mnist(folder: Path) -> dict[str, Digits]:
    """The splits of a folder with MNIST's four files, each packed by gzip or not.

    Raises:
        NotFound: no such folder, or a file is missing.
        InvalidInput: a file is damaged or has another format.
    """
    if not folder.is_dir():
        raise NotFound(
            f"{folder}: there is no such folder{against(folder)}; expected one with MNIST's four files, such as "
            "train-images-idx3-ubyte.gz (a data set of the hub is named with --task.hub)"
        )
    train, test = (
        read_pair(file(folder, f"{name}-images-idx3-ubyte"), file(folder, f"{name}-labels-idx1-ubyte"))
        for name in SETS.values()
    )
    return with_held_out(train, test)


def with_held_out(train: Digits, test: Digits) -> dict[str, Digits]:
    """The splits, of which validation is the end of the training set."""
    kept = len(train.labels) - min(HELD_OUT, len(train.labels) // 10)
    return {"train": train.part(slice(kept)), "validation": train.part(slice(kept, None)), "test": test}


def from_hub(dataset: str) -> dict[str, Digits]:
    """The splits of MNIST's data set on the hub, with the columns `image` and `label`.

    Raises:
        MissingExtra: the hub's library is not installed.
        InvalidInput: it could not be read, or is not MNIST.
    """
    datasets: Any = require("datasets", "hub")
    try:
        train, test = (datasets.load_dataset(dataset, split=split) for split in ("train", "test"))
    except Exception as error:  # network, authentication and missing data sets raise different classes
        raise InvalidInput(
            f"{dataset} could not be downloaded from the hub ({type(error).__name__}: {error}); name a folder with "
            "MNIST's four files: --task.folder FOLDER"
        ) from error
    return with_held_out(of_rows(train, dataset), of_rows(test, dataset))


def of_rows(rows: Any, dataset: str) -> Digits:
    """The images and classes of a split of the hub."""
    if missing := {"image", "label"} - set(rows.column_names):
        raise InvalidInput(f"{dataset} of the hub is not MNIST: it has no column {' and '.join(sorted(missing))}")
    images = [np.asarray(image) for image in rows["image"]]
    classes = torch.tensor(rows["label"][:])
    if any(image.shape != (SIDE, SIDE) or image.dtype != np.uint8 for image in images):
        raise InvalidInput(f"{dataset} of the hub is not MNIST: expected grey images of {SIDE} x {SIDE} pixels")
    if not len(classes) or int(classes.min()) < 0 or int(classes.max()) > 9:
        raise InvalidInput(f"{dataset} of the hub is not MNIST: expected labels from 0 to 9")
    return Digits(torch.from_numpy(np.stack(images)), classes)


def file(folder: Path, name: str) -> Path:
    """The file of this name, packed or not; some programs write a dot before idx."""
    names = [name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz"]
    for found in (folder / other for other in names):
        if found.is_file():
            return found
    raise NotFound(f"{folder} contains neither {name} nor {name}.gz; MNIST has four files: training and test (t10k), "
                   "images and labels")  # fmt: skip


def read_pair(images: Path, labels: Path) -> Digits:
    """Images and their labels.

    Raises:
        InvalidInput: a damaged file, another format, images that are not 28 x 28, labels beyond 9, or other numbers
            of images and labels.
    """
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if pixels.shape[1:] != (SIDE, SIDE):
        raise InvalidInput(f"{images}: expected images of {SIDE} x {SIDE} pixels, got {pixels.shape[1]} x "
                           f"{pixels.shape[2]}")  # fmt: skip
    if len(pixels) != len(classes):
        raise InvalidInput(f"{images} has {len(pixels):,} images, but {labels} has {len(classes):,} labels")
    if not len(classes) or classes.max() > 9:
        raise InvalidInput(f"{labels}: expected labels from 0 to 9, got {classes.max() if len(classes) else 'none'}")
    return Digits(torch.from_numpy(pixels), torch.from_numpy(classes.astype(np.int64)))


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """An array of bytes with as many axes.

    Raises:
        InvalidInput: a broken archive, another format, or too few or too many bytes.
    """
    data = bytes(read_unpacked(path))
    head = 4 + 4 * axes
    if data[:4] != bytes([0, 0, 8, axes]) or len(data) < head:
        raise InvalidInput(f"{path} is not a file of MNIST: expected the number {2048 + axes} in its first four bytes")
    shape = tuple(int.from_bytes(data[place : place + 4], "big") for place in range(4, head, 4))
    size = 1
    for length in shape:
        size *= length
    if len(data) - head != size:
        wanted = " x ".join(map(str, shape))
        raise InvalidInput(f"{path} is damaged: its header states {wanted} bytes, but it has {len(data) - head:,}")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape).copy()
