"""Make the embedded letters from Omniglot's strokes: `python make.py strokes_background_small1.zip`.

It keeps the 26 characters of the Latin alphabet, each drawn once by 20 people. Each line is a drawing: letter, writer
and strokes. A stroke is a list of points x,y in the order of drawing, in units of the canvas (105 wide and high), x to
the right and y up, rounded to halves. Times are dropped, and so are points that rounding made equal to the previous
one.
"""

import gzip
import re
import sys
import zipfile
from pathlib import Path

NAME = re.compile(r"strokes_background_small1/Latin/character(\d\d)/\d+_(\d\d)\.txt")


def half(text: str) -> str:
    return f"{round(2 * float(text)) / 2:g}"


def strokes(text: str) -> str:
    """Convert a drawing from Omniglot's format (START, x,y,time, BREAK) to `x,y x,y;x,y`."""
    found: list[list[str]] = [[]]
    for line in text.split():
        if line == "BREAK":
            found.append([])
        elif line != "START":
            x, y, _ = line.split(",")
            point = f"{half(x)},{half(y)}"
            if found[-1][-1:] != [point]:
                found[-1].append(point)
    return ";".join(" ".join(stroke) for stroke in found if stroke)


def main(archive: str) -> None:
    with zipfile.ZipFile(archive) as held:
        rows = [
            f"{chr(ord('a') + int(match[1]) - 1)}\t{int(match[2])}\t{strokes(held.read(name).decode('ascii'))}\n"
            for name in sorted(held.namelist())
            if (match := NAME.fullmatch(name))
        ]
    path = Path(__file__).with_name("omniglot_latin.tsv.gz")
    # the archive contains no time stamp, so that making it again gives the same bytes
    path.write_bytes(gzip.compress("".join(rows).encode("ascii"), compresslevel=9, mtime=0))
    sys.stdout.write(f"{path.name}: {len(rows)} letters, {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1])
