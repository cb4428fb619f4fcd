"""CIFAR-10 (Krizhevsky 2009, "Learning multiple layers of features from tiny images"), in any of its forms.

The Python version consists of pickles, from which a program could start anything. Here the names in a pickle stand for
records of this file, so that nothing is called and no array is built by the pickle; all other names are refused.
The binary version has, for each image, a byte for the class and 3,072 for the pixels: red, green and blue, each row by
row. Folders of image files have other pixels if the files are JPEG, which is lossy.
"""

import io
import pickle
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import against, naming
from saccade.tasks.images.data import Data, Split, in_memory
from saccade.tasks.images.folder import SUFFIXES, of_files

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE, BYTES = 32, 3 * 32 * 32
LARGEST = 2**30
"""The most bytes of all files, unpacked."""
FILE = re.compile(r"(?:.*/)?((?:data_batch_[1-5]|test_batch)(?:\.bin)?)")
IMAGE = re.compile(rf"(?:.*/)?((train|test)/([^/]+)/[^/]+(?:{'|'.join(map(re.escape, SUFFIXES))}))", re.IGNORECASE)
Pair = tuple[UInt8[Tensor, "n 3 32 32"], Int[Tensor, " n"]]


def read_cifar10(path: Path, size: int | None, channels: int) -> Data:
    """Training and test images.

    Args:
        path: a folder, or a tar archive.
        size: rows and columns; None: 32.
        channels: 1 or 3.

    Raises:
        NotFound: no such path, or a part of the data set is missing.
        InvalidInput: a damaged file, or one of another format.
    """
    files = files_of(path)
    images = {name: data for name, data in files.items() if "/" in name}
    if images:
        return from_images(path, images, size, channels)
    binary = any(name.endswith(".bin") for name in files)
    read, suffix = (from_binary, ".bin") if binary else (from_pickle, "")
    names = {"train": [f"data_batch_{number}{suffix}" for number in range(1, 6)], "test": [f"test_batch{suffix}"]}
    splits: dict[str, Split] = {}
    for split, parts in names.items():
        if missing := [name for name in parts if name not in files]:
            raise NotFound(f"{path}: CIFAR-10's file {missing[0]} is missing")
        pairs = [read(files[name], f"{path}, {name}") for name in parts]
        splits[split] = in_memory(
            torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs]), size, channels
        )
    return Data("CIFAR-10", CLASSES, splits)


def from_images(path: Path, images: Mapping[str, bytes], size: int | None, channels: int) -> Data:
    """The folders train and test, with a folder for each class."""
    splits = {}
    for split in ("train", "test"):
        names = sorted(name for name in images if name.startswith(f"{split}/"))
        labels = [name.split("/")[1] for name in names]
        if unknown := sorted(set(labels) - set(CLASSES)):
            raise InvalidInput(f"{path}: {split} has a folder {unknown[0]!r}, which is no class of CIFAR-10")
        if missing := [label for label in CLASSES if label not in labels]:
            raise NotFound(f"{path}: {split} has no images in a folder {missing[0]!r}")
        splits[split] = of_files(
            [images[name] for name in names], [f"{path}, {name}" for name in names],
            [CLASSES.index(label) for label in labels], size or SIDE, channels, exact=size is None,
        )  # fmt: skip
    lossy = any(name.lower().endswith((".jpg", ".jpeg")) for name in images)
    said = " in JPEG copies, which are lossy: not for comparison with published numbers to the last tenth"
    return Data(f"CIFAR-10{said if lossy else ' in image files'}", CLASSES, splits)


def files_of(path: Path) -> dict[str, bytes]:
    """The data set's files: name -> contents; images as "train/CLASS/FILE"."""
    if not path.exists():
        raise NotFound(
            f"{path}: there is no such folder{against(path)}; name the folder or archive of CIFAR-10 with "
            "--task.cifar10.path PATH"
        )
    if path.is_file():
        return from_archive(path)
    # the kind of files nearest to the top, and of the kinds: pickles or binaries, images, archives
    files = sorted(found for found in path.rglob("*") if found.is_file())
    named = {found: name for found in files if (name := name_of(found.relative_to(path).as_posix()))}
    if named:
        flat = {name for name in named.values() if "/" not in name}
        with naming(path):
            return {name: found.read_bytes() for found, name in named.items() if not flat or name in flat}
    archives = [found for found in files if re.search(r"\.(tar(\.\w+)?|tgz)$", found.name)]
    if not archives:
        raise NotFound(
            f"{path} contains no CIFAR-10: expected data_batch_1 and others, data_batch_1.bin and others, train/CLASS/ "
            "and test/CLASS/ with image files, or an archive of these"
        )
    return from_archive(archives[0])


def name_of(place: str) -> str:
    """The data set's own name of a file; "" if it is none of its files."""
    if found := FILE.fullmatch(place):
        return found[1]
    image = IMAGE.fullmatch(place)
    return image[1] if image else ""


def from_archive(path: Path) -> dict[str, bytes]:
    """The files of a tar archive; nothing is written."""
    found: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = name_of(member.name)
                if not member.isfile() or not name:
                    continue
                total += member.size
                if total > LARGEST:
                    raise InvalidInput(f"{path} unpacks to more than {LARGEST / 2**30:g} GB; CIFAR-10 has 0.2")
                file = archive.extractfile(member)
                found[name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{path} is no tar archive, or is damaged ({error})") from error
    except Exception as error:  # zlib and lzma have errors of their own
        raise InvalidInput(f"{path} is damaged ({error})") from error
    if not found:
        raise NotFound(f"{path} contains no file of CIFAR-10")
    flat = {name: data for name, data in found.items() if "/" not in name}
    return flat or found


def from_binary(data: bytes, name: str) -> Pair:
    """Images and labels of a file of the binary version."""
    if not data or len(data) % (1 + BYTES):
        raise InvalidInput(f"{name} is damaged: expected {1 + BYTES:,} bytes for each image, got {len(data):,}")
    rows = torch.from_numpy(np.frombuffer(data, np.uint8).reshape(-1, 1 + BYTES).copy())
    return checked(rows[:, 1:].reshape(-1, 3, SIDE, SIDE), rows[:, 0].long(), name)


class Named:
    """A name of a pickle: a function or class that is not called. Its call is kept as a record."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Array(Named):
    """numpy's ndarray, or the function that makes an empty one."""


class Kind(Named):
    """numpy's dtype."""


def latin(text: str, encoding: str = "latin1") -> bytes:
    """Bytes, which Python 3 writes into old pickles as text."""
    return text.encode("latin1")


ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): Array, ("numpy._core.multiarray", "_reconstruct"): Array,
    ("numpy", "ndarray"): Array, ("numpy", "dtype"): Kind, ("_codecs", "encode"): latin,
}  # fmt: skip


class Unpickler(pickle.Unpickler):
    """Reads plain values and records of arrays; any other name is an error."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which CIFAR-10 does not need")
        return ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside")


def from_pickle(data: bytes, name: str) -> Pair:
    """Images and labels of a file of the Python version.

    Raises:
        InvalidInput: a pickle that is damaged, names anything but arrays, or has other contents.
    """
    try:
        found = Unpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises almost any class
        raise InvalidInput(f"{name} cannot be read as a file of CIFAR-10's Python version: {error}") from error
    plain = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in found.items()} \
        if isinstance(found, dict) else {}  # fmt: skip
    labels, pixels = plain.get("labels"), rows_of(plain.get("data"))
    if pixels is None or not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise InvalidInput(f"{name}: expected a dictionary with data, bytes of (n, {BYTES}), and n labels")
    if len(labels) != len(pixels) or not labels or max(labels) > 2**31 or min(labels) < 0:
        raise InvalidInput(f"{name} has {len(pixels):,} images and {len(labels):,} labels")
    return checked(pixels.reshape(-1, 3, SIDE, SIDE), torch.tensor(labels), name)


def rows_of(array: Any) -> UInt8[Tensor, "n 3072"] | None:
    """The bytes of an array that a pickle describes; None if it is another kind of value or array."""
    match array:
        case Array(state=(int(), (int() as count, int() as width), Kind() as kind, bool(fortran) | int(fortran), raw)):
            first = kind.arguments[0] if kind.arguments else b""
            letter = first.encode("latin1") if isinstance(first, str) else first
            if letter != b"u1" or width != BYTES or not isinstance(raw, bytes) or len(raw) != count * width:
                return None
            flat = torch.from_numpy(np.frombuffer(raw, np.uint8).copy())
            return flat.reshape(width, count).T.contiguous() if fortran else flat.reshape(count, width)
    return None


def checked(images: UInt8[Tensor, "n 3 32 32"], labels: Int[Tensor, " n"], name: str) -> Pair:
    if int(labels.max()) >= len(CLASSES):
        raise InvalidInput(f"{name}: expected labels from 0 to 9, got {int(labels.max())}")
    return images, labels
