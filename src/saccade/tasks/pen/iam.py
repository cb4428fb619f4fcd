"""IAM-OnDB, the database of handwritten lines in Graves 2013 (Liwicki & Bunke 2005), which users obtain themselves.

The folder contains `lineStrokes/` (XML, one file per line) and `ascii/` (one text per form, its lines below "CSR:"). If
it also contains the lists of the task IAM-OnDB-t1, they define the splits: trainset.txt, the two validation sets
testset_v.txt and testset_t.txt, and the final test set testset_f.txt. Otherwise one form in twenty is used for
validation and one for the test, and a writer may have forms in two splits. Lines without a text, such as those of form
z01-000z, are dropped.
"""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import against, composed, read_lines
from saccade.tasks.pen.letters import Points, joined

FARTHEST = 1e6  # largest coordinate; those of the whiteboard have four or five digits
LISTS = {"train": ("trainset.txt",), "validation": ("testset_v.txt", "testset_t.txt"), "test": ("testset_f.txt",)}
NAME = re.compile(r"([a-z]\d\d-\d\d\d[a-z]?)-(\d\d)")
LINE_BREAK = re.compile(r"\n|%{11}")  # form a08-551z has eleven percent signs where a line ends


class Corpus(dict[str, list[tuple[str, Points]]]):
    """Split -> (text, points) of each line, sorted by name."""

    without_text = 0
    """Number of lines dropped because they have no transcript."""


def read_strokes(path: Path) -> Points:
    """(points, 3) of one line: x to the right, y up (the file's goes down), and 1 where a stroke ends.

    Raises:
        InvalidInput: not XML, no strokes, or a coordinate that is not a number; the message names the file.
    """
    try:
        # nested entities of a malicious file would exhaust the memory; the files of IAM-OnDB have none
        text = path.read_text(encoding="utf-8", errors="replace")
        if "<!ENTITY" in text:
            raise InvalidInput(f"{path} defines XML entities, so it is not a file of IAM-OnDB")
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InvalidInput(f"{path} is not XML: {error}") from None
    strokes = []
    for number, stroke in enumerate(root.iter("Stroke"), start=1):
        try:
            points = np.array([[float(point.attrib["x"]), -float(point.attrib["y"])] for point in stroke.iter("Point")])
        except (KeyError, ValueError):
            raise InvalidInput(f"{path}, stroke {number}: expected points with numbers x and y") from None
        if not (np.abs(points) < FARTHEST).all():
            raise InvalidInput(f"{path}, stroke {number}: expected finite coordinates below {FARTHEST:,.0f}")
        if len(points):
            strokes.append(points)
    if not strokes:
        raise InvalidInput(f"{path} contains no strokes")
    found = joined(strokes)
    found[:, :2] -= found[0, :2]
    return found


def read_transcripts(path: Path) -> list[str]:
    """The transcripts of a form's lines, which follow "CSR:" in its text; empty if there is no such section."""
    below = composed(path.read_text(encoding="utf-8", errors="replace")).partition("CSR:")[2]
    return [" ".join(line.split()) for line in LINE_BREAK.split(below) if line.strip()]


def read_iam(folder: Path) -> Corpus:
    """The lines of all splits.

    Raises:
        NotFound: no such folder, or it has no lines, texts, list or split.
        InvalidInput: a file in the wrong format.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder}: there is no such folder{against(folder)}")
    lines = {path.stem: path for path in sorted(folder.rglob("lineStrokes/**/*.xml")) if NAME.fullmatch(path.stem)}
    texts = {path.stem: path for path in folder.rglob("ascii/**/*.txt")}
    if not lines:
        raise NotFound(f"{folder} contains no lines such as lineStrokes/a01/a01-000/a01-000u-01.xml")
    if not texts:
        raise NotFound(f"{folder} contains no texts such as ascii/a01/a01-000/a01-000u.txt")
    forms = {form: read_transcripts(texts[form]) if form in texts else [] for form in sorted({n[:-3] for n in lines})}
    said = {f"{form}-{number:02d}": text for form, there in forms.items() for number, text in enumerate(there, start=1)}
    corpus = Corpus()
    for split, chosen in splits(folder, list(forms)).items():
        names = [name for name in lines if name[:-3] in chosen and name in said]
        if not names:
            raise NotFound(f"{folder} contains no lines of the {split} split that have a text")
        corpus[split] = [(said[name], read_strokes(lines[name])) for name in names]
    corpus.without_text = sum(name not in said for name in lines)
    return corpus


def splits(folder: Path, forms: list[str]) -> dict[str, list[str]]:
    """Split -> forms, according to the lists if the folder has them.

    Raises:
        NotFound: the folder has some of the lists, but not all.
    """
    listed: dict[str, set[str]] = {}
    for split, names in LISTS.items():
        paths = [path for name in names for path in folder.rglob(name)]
        if paths:
            listed[split] = {word for path in paths for line in read_lines(path) for word in line.split()}
    if listed and (missing := [split for split in LISTS if split not in listed]):
        lacking = " and ".join(" or ".join(LISTS[split]) for split in missing)
        raise NotFound(f"{folder} has lists of the splits, but no {lacking}; add the missing lists, or remove all")
    if listed:
        # the lists name forms without the final letter, which numbers the parts of a form
        return {
            split: [form for form in forms if form in names or form.rstrip("abcdefghijklmnopqrstuvwxyz") in names]
            for split, names in listed.items()
        }
    found: dict[str, list[str]] = {split: [] for split in LISTS}
    for place, form in enumerate(forms):
        found["validation" if place % 20 == 0 else "test" if place % 20 == 1 else "train"].append(form)
    return found
