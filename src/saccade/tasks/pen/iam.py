"""IAM-OnDB, the database of handwritten lines of Graves 2013 (Liwicki & Bunke 2005), for those who have it.

A folder with `lineStrokes/` (XML, one file a line) and `ascii/` (one text a form, its lines below "CSR:"). If it also
holds the lists of the task IAM-OnDB-t1, they make the splits: trainset.txt, the two validation sets testset_v.txt and
testset_t.txt, and the final test set testset_f.txt. Otherwise one form in twenty is for validation and one for the
test, and a writer may have forms in two splits. Lines without a text, as those of form z01-000z, are left out.
"""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import against, composed, read_lines
from saccade.tasks.pen.letters import Points, joined

FARTHEST = 1e6  # of a coordinate; those of the whiteboard have four or five digits
LISTS = {"train": ("trainset.txt",), "validation": ("testset_v.txt", "testset_t.txt"), "test": ("testset_f.txt",)}
NAME = re.compile(r"([a-z]\d\d-\d\d\d[a-z]?)-(\d\d)")
LINE_BREAK = re.compile(r"\n|%{11}")  # form a08-551z has eleven percent signs where a line ends


class Corpus(dict[str, list[tuple[str, Points]]]):
    """Split -> texts and points of its lines, in the order of their names."""

    without_text = 0
    """Lines that are left out because nothing says what is written in them."""


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
    """The lines of a form, those below "CSR:" of its text; none where there is no such part."""
    below = composed(path.read_text(encoding="utf-8", errors="replace")).partition("CSR:")[2]
    return [" ".join(line.split()) for line in LINE_BREAK.split(below) if line.strip()]


def read_iam(folder: Path) -> Corpus:
    """The lines of all splits.

    Raises:
        NotFound: no such folder, or it lacks lines, texts, a list, or a split.
        InvalidInput: a file that is not what it should be.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder}: there is no such folder{against(folder)}")
    lines = {path.stem: path for path in sorted(folder.rglob("lineStrokes/**/*.xml")) if NAME.fullmatch(path.stem)}
    texts = {path.stem: path for path in folder.rglob("ascii/**/*.txt")}
    if not lines:
        raise NotFound(f"{folder} holds no line such as lineStrokes/a01/a01-000/a01-000u-01.xml")
    if not texts:
        raise NotFound(f"{folder} holds no text such as ascii/a01/a01-000/a01-000u.txt")
    forms = {form: read_transcripts(texts[form]) if form in texts else [] for form in sorted({n[:-3] for n in lines})}
    said = {f"{form}-{number:02d}": text for form, there in forms.items() for number, text in enumerate(there, start=1)}
    corpus = Corpus()
    for split, chosen in splits(folder, list(forms)).items():
        names = [name for name in lines if name[:-3] in chosen and name in said]
        if not names:
            raise NotFound(f"{folder} holds no line of the {split} split that has a text")
        corpus[split] = [(said[name], read_strokes(lines[name])) for name in names]
    corpus.without_text = sum(name not in said for name in lines)
    return corpus


def splits(folder: Path, forms: list[str]) -> dict[str, list[str]]:
    """Split -> forms, by the lists where they are.

    Raises:
        NotFound: some lists are there and others are not.
    """
    listed: dict[str, set[str]] = {}
    for split, names in LISTS.items():
        paths = [path for name in names for path in folder.rglob(name)]
        if paths:
            listed[split] = {word for path in paths for line in read_lines(path) for word in line.split()}
    if listed and (missing := [split for split in LISTS if split not in listed]):
        lacking = " and ".join(" or ".join(LISTS[split]) for split in missing)
        raise NotFound(f"{folder} holds lists of the splits, but no {lacking}; add them, or take all lists out")
    if listed:
        # the lists name forms without the letter of the writer's part
        return {
            split: [form for form in forms if form in names or form.rstrip("abcdefghijklmnopqrstuvwxyz") in names]
            for split, names in listed.items()
        }
    found: dict[str, list[str]] = {split: [] for split in LISTS}
    for place, form in enumerate(forms):
        found["validation" if place % 20 == 0 else "test" if place % 20 == 1 else "train"].append(form)
    return found
