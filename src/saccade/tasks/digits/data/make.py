"""Make the embedded digits from MNIST: `python make.py FOLDER`, the folder of the training images and labels.

They are 300 of the 60,000 training images for each class, drawn with a fixed seed, in the format of MNIST. The classes
take turns, so that any part whose size is a multiple of ten is balanced. Nothing of MNIST's test images is in it.
"""

import gzip
import random
import struct
import sys
from pathlib import Path

SEED, OF_EACH, SIDE = 1, 300, 28


def main(folder: str) -> None:
    raw = {
        name: gzip.decompress(Path(folder, f"train-{name}-ubyte.gz").read_bytes())
        for name in ("images-idx3", "labels-idx1")
    }
    images, labels = raw["images-idx3"][16:], raw["labels-idx1"][8:]
    chosen = []
    for digit in range(10):
        own = [row for row, label in enumerate(labels) if label == digit]
        chosen.append(random.Random(f"{SEED}/{digit}").sample(own, OF_EACH))
    rows = [row for turn in zip(*chosen, strict=True) for row in turn]
    found = {
        "images-idx3": struct.pack(">4i", 2051, len(rows), SIDE, SIDE)
        + b"".join(images[row * SIDE**2 : (row + 1) * SIDE**2] for row in rows),
        "labels-idx1": struct.pack(">2i", 2049, len(rows)) + bytes(labels[row] for row in rows),
    }
    for name, data in found.items():
        path = Path(__file__).with_name(f"mnist-3000-{name}-ubyte.gz")
        # no time of day in the archive, so that making it again gives the same bytes
        path.write_bytes(gzip.compress(data, compresslevel=9, mtime=0))
        sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1])
