"""Pack the embedded text: `python make.py tinyshakespeare.txt` (karpathy/char-rnn, data/tinyshakespeare/input.txt)."""

import lzma
import sys
from pathlib import Path

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


def main(source: str) -> None:
    path = Path(__file__).with_name("tinyshakespeare.txt.xz")
    path.write_bytes(lzma.compress(Path(source).read_bytes(), filters=FILTERS))
    sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1])
