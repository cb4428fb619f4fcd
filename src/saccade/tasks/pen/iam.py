"""IAM-OnDB, the database of handwritten lines of Graves 2013 (Liwicki & Bunke 2005), for those who have it.

A folder with `lineStrokes/` (XML, one file a line) and `ascii/` (one text a form, its lines below "CSR:"). Where the
lists of the task IAM-OnDB-t1 lie in it too (trainset.txt, testset_v.txt, testset_t.txt or testset_f.txt), they make the
splits; otherwise of twenty forms one is for validation and one for the test, and a writer may have forms in two splits.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import against, read_lines
from saccade.tasks.pen.letters import Points, joined

FARTHEST = 1e6  # of a coordinate; those of the whiteboard have four or five digits
LISTS = {"train": ("trainset.txt",), "validation": ("testset_v.txt",), "test": ("testset_t.txt", "testset_f.txt")}
NAME = re.compile(r"([a-z]\d\d-\d\d\d[a-z]?)-(\d\d)")


def read_strokes(path: Path) -> Points:
    """(points, 3) of one line: x to the right, y up (the file's goes down), and 1 where a stroke ends.

    Raises:
        InvalidInput: not XML, no strokes, or a coordinate that is no number; it names the file.
    """
    try:
        # a stranger's XML may nest entities without end; IAM's has none
        text = path.read_text(encoding="utf-8", errors="replace")
        if "<!ENTITY" in text:
            raise InvalidInput(f"{path} defines entities, which no file of IAM-OnDB does")
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InvalidInput(f"{path} is no XML: {error}") from None
    strokes = []
    for number, stroke in enumerate(root.iter("Stroke"), start=1):
        try:
            points = np.array([[float(point.attrib["x"]), -float(point.attrib["y"])] for point in stroke.iter("Point")])
        except (KeyError, ValueError):
            raise InvalidInput(f"{path}, stroke {number}: a point without numbers x and y") from None
        if not (np.abs(points) < FARTHEST).all():
            raise InvalidInput(f"{path}, stroke {number}: a coordinate is not finite, or beyond {FARTHEST:,.0f}")
        if len(points):
            strokes.append(points)
    if not strokes:
        raise InvalidInput(f"{path} holds no stroke")
    found = joined(strokes)
    found[:, :2] -= found[0, :2]
    return found


def read_transcripts(path: Path) -> list[str]:
    """The lines of a form, those below "CSR:" of its text.

    Raises:
        InvalidInput: there is no such part.
    """
    _, mark, below = path.read_text(encoding="utf-8", errors="replace").partition("CSR:")
    if not mark:
        raise InvalidInput(f'{path} has no part "CSR:"')
    return [" ".join(line.split()) for line in below.splitlines() if line.strip()]


def read_iam(folder: Path) -> dict[str, list[tuple[str, Points]]]:
    """Split -> texts and points of its lines, in the order of their names.

    Raises:
        NotFound: no such folder, or it lacks lines, a text, or a split.
        InvalidInput: a file that is not what it should be.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder}: there is no such folder{against(folder)}")
    lines = {path.stem: path for path in sorted(folder.rglob("lineStrokes/**/*.xml")) if NAME.fullmatch(path.stem)}
    texts = {path.stem: path for path in folder.rglob("ascii/**/*.txt")}
    if not lines:
        raise NotFound(f"{folder} holds no line such as lineStrokes/a01/a01-000/a01-000u-01.xml")
    forms = sorted({name[:-3] for name in lines})
    found: dict[str, list[tuple[str, Points]]] = {}
    for split, chosen in splits(folder, forms).items():
        found[split] = []
        for form in chosen:
            if form not in texts:
                raise NotFound(f"{folder} holds lines of {form}, but no ascii/.../{form}.txt")
            found[split] += line_pairs(form, lines, read_transcripts(texts[form]))
        if not found[split]:
            raise NotFound(f"{folder} holds no line of the {split} split")
    return found


def line_pairs(form: str, lines: dict[str, Path], transcripts: list[str]) -> Iterator[tuple[str, Points]]:
    """Text and points of the lines of a form that there are; a text without its strokes is left out."""
    for number, text in enumerate(transcripts, start=1):
        path = lines.get(f"{form}-{number:02d}")
        if path is not None:
            yield text, read_strokes(path)


def splits(folder: Path, forms: list[str]) -> dict[str, list[str]]:
    """Split -> forms, by the lists where they are."""
    listed: dict[str, set[str]] = {}
    for split, names in LISTS.items():
        paths = [path for name in names for path in folder.rglob(name)]
        if paths:
            listed[split] = {word for path in paths for line in read_lines(path) for word in line.split()}
    if len(listed) == len(LISTS):
        # the lists name forms without the letter of the writer's part
        return {
            split: [form for form in forms if form in names or form.rstrip("abcdefghijklmnopqrstuvwxyz") in names]
            for split, names in listed.items()
        }
    found: dict[str, list[str]] = {split: [] for split in LISTS}
    for place, form in enumerate(forms):
        found["validation" if place % 20 == 0 else "test" if place % 20 == 1 else "train"].append(form)
    return found
