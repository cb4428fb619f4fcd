"""Pack the embedded chorales: `python make.py jsb-chorales-quarter.json.gz` (czhuang/JSB-Chorales-dataset)."""

import gzip
import json
import lzma
import sys
from pathlib import Path

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
COUNT = 60


def main(source: str) -> None:
    """Of the training part, 60 pieces at equal distances; of six in turn the fifth is for validation, the sixth for
    the test."""
    with gzip.open(source, "rt", encoding="utf-8") as file:
        pieces = json.load(file)["train"]
    parts: dict[str, list[object]] = {"train": [], "valid": [], "test": []}
    for number in range(COUNT):
        part = {4: "valid", 5: "test"}.get(number % 6, "train")
        parts[part].append([sorted(frame) for frame in pieces[number * len(pieces) // COUNT]])
    path = Path(__file__).with_name("chorales.json.xz")
    path.write_bytes(lzma.compress(json.dumps(parts, separators=(",", ":")).encode(), filters=FILTERS))
    sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1])
