"""Pack the embedded sentences: `python make.py FOLDER` with wnut17.{train,dev,test}.conll.gz."""

import gzip
import lzma
import sys
from pathlib import Path

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


def main(folder: str) -> None:
    for split, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        text = gzip.decompress((Path(folder) / f"wnut17.{name}.conll.gz").read_bytes())
        path = Path(__file__).with_name(f"wnut17.{split}.conll.xz")
        path.write_bytes(lzma.compress(text, filters=FILTERS))
        sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1])
