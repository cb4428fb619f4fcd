"""Small data sets of images, made for the tests."""

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

Image: Any = pytest.importorskip("PIL.Image")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
EACH = 20  # images of a file


def file_of(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    with io.BytesIO() as file:
        image.save(file, kind, **options)
        return file.getvalue()


def photo(seed: int, wide: int = 32, high: int = 32, mode: str = "RGB") -> Any:
    """A picture of noise in blocks, which JPEG changes little."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (-(-high // 8), -(-wide // 8), 3), np.uint8)
    large = blocks.repeat(8, 0).repeat(8, 1)[:high, :wide]
    return Image.fromarray(large).convert(mode)


def rows(part: int) -> tuple[np.ndarray, list[int]]:
    """The pixels (n, 3072) and labels of a file."""
    pixels = np.random.default_rng(part).integers(0, 256, (EACH, 3072), np.uint8)
    return pixels, [(number + part) % 10 for number in range(EACH)]


PARTS = {**{f"data_batch_{number}": number for number in range(1, 6)}, "test_batch": 6}


def python_version(folder: Path, **options: Any) -> Path:
    place = folder / "cifar-10-batches-py"
    place.mkdir(parents=True)
    for name, part in PARTS.items():
        pixels, labels = rows(part)
        content = {b"data": pixels, b"labels": labels, b"batch_label": b"a batch", b"filenames": [b"x.png"] * EACH}
        (place / name).write_bytes(pickle.dumps(content, protocol=options.get("protocol", 2)))
    (place / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"airplane"]}))
    return place


def binary_version(folder: Path) -> Path:
    place = folder / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    for name, part in PARTS.items():
        pixels, labels = rows(part)
        data = np.concatenate([np.array(labels, np.uint8)[:, None], pixels], 1)
        (place / f"{name}.bin").write_bytes(data.tobytes())
    return place


def image_version(folder: Path, kind: str = "JPEG") -> Path:
    for split, count in (("train", 10), ("test", 2)):
        for label, name in enumerate(CLASSES):
            place = folder / "cifar10_jpeg" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                suffix = {"JPEG": "jpg", "PNG": "png"}[kind]
                (place / f"{number:04}.{suffix}").write_bytes(file_of(photo(100 * label + number), kind))
    return folder


def archive(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:xz") as file:
        file.add(folder, folder.name)
    return path


def own_folder(folder: Path, counts: dict[str, int], size: tuple[int, int] = (32, 32)) -> Path:
    """A folder train, and others, with classes cat and dog."""
    for split, count in counts.items():
        for label, name in enumerate(("cat", "dog")):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                photo(1000 * label + 10 * number, *size).save(folder / split / name / f"{number}.png")
    return folder


def same(ours: Any, theirs: Any) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
