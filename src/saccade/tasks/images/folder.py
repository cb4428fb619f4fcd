"""A folder of one's own images: train/CLASS/FILE, and perhaps validation/CLASS/FILE and test/CLASS/FILE."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import against, naming
from saccade.tasks.image_file import contents
from saccade.tasks.images.data import Data, Split
from saccade.tasks.images.pixels import decoded, fitted

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
SPLITS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
"""The names of each split's folder."""


def read_folder(path: Path, size: int | None, channels: int) -> Data:
    """The images of a folder; the classes are the folders in train, in the order of their names.

    Raises:
        NotFound: no such folder, no folder train, or a class without images.
        InvalidInput: a class of another split that is not in train; a file that is no image; images of different sizes,
            or not square, where no size is given.
    """
    if not path.is_dir():
        raise NotFound(
            f"{path}: there is no such folder{against(path)}; expected one that contains train/CLASS/FILE "
            "(--task.folder.path FOLDER)"
        )
    places = {
        split: next((path / name for name in names if (path / name).is_dir()), None) for split, names in SPLITS.items()
    }
    train = places["train"]
    classes = names_in(train) if train else []
    if not classes:
        raise NotFound(f"{path} contains no folder train with a folder for each class, such as {path}/train/cat")
    if len(classes) < 2:
        raise InvalidInput(f"{train} has the class {classes[0]!r} alone; expected at least two")
    splits, side = {}, size
    for split, place in places.items():
        if place is None:
            continue
        if unknown := sorted(set(names_in(place)) - set(classes)):
            raise InvalidInput(f"{place} has a class {unknown[0]!r}, which {train} has not")
        files = [(found, label) for label, name in enumerate(classes) for found in images_in(place / name)]
        missing = set(range(len(classes))) - {label for _, label in files}
        if missing and split == "train":
            raise NotFound(f"{place / classes[min(missing)]} contains no image; expected {', '.join(SUFFIXES)}")
        if not files:
            raise NotFound(f"{place} contains no image")
        found, labels = [file for file, _ in files], [label for _, label in files]
        side = side or own_size(found[0])
        splits[split] = of_files(found, [str(file) for file in found], labels, side, channels, exact=size is None)
    return Data(f"images of {path.name}", tuple(classes), splits)


def names_in(place: Path) -> list[str]:
    """The folders of a folder, but for hidden ones."""
    with naming(place):
        return sorted(found.name for found in place.iterdir() if found.is_dir() and not found.name.startswith("."))


def images_in(place: Path) -> list[Path]:
    """The image files of a folder and of the folders in it."""
    if not place.is_dir():
        return []
    return sorted(
        found for found in place.rglob("*")
        if found.suffix.lower() in SUFFIXES and found.is_file() and not found.name.startswith(".")
    )  # fmt: skip


def own_size(file: Path) -> int:
    """The side of a square image, which all others must have."""
    height, width = decoded(contents(str(file)), str(file), 1).image.shape[1:]
    if height != width:
        raise InvalidInput(
            f"{file} has {width} x {height} pixels, and models take square images: choose rows and columns with "
            "--task.size, such as 32"
        )
    return height


def of_files(
    files: Sequence[bytes | Path], names: Sequence[str], labels: Sequence[int], size: int, channels: int,
    exact: bool = False,
) -> Split:  # fmt: skip
    """A split whose images are read from files, when they are asked for.

    Args:
        files: the contents, or the paths.
        names: of each, for errors.
        labels: of each, the number of its class.
        size: rows and columns.
        channels: 1 or 3.
        exact: refuse images of other sizes.
    """

    def pixels(rows: Tensor) -> UInt8[Tensor, "m c y x"]:
        found = torch.empty(len(rows), channels, size, size, dtype=torch.uint8)
        for place, row in enumerate(rows.tolist()):
            file = files[row]
            image = decoded(file if isinstance(file, bytes) else contents(str(file)), names[row], channels).image
            if exact and image.shape[1:] != (size, size):
                raise InvalidInput(
                    f"{names[row]} has {image.shape[2]} x {image.shape[1]} pixels, and others {size} x {size}: choose "
                    "rows and columns for all with --task.size"
                )
            found[place] = fitted(image, size)
        return found

    return Split(torch.tensor(labels), pixels)
