"""Reading sentences: the files of SST, MR, TREC and SUBJ as published with Kim 2014, and files of one's own."""

import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import against, composed, read_lines, read_unpacked

CLASSES = {
    "reviews": ("negative", "positive"),
    "sst2": ("negative", "positive"),
    "sst5": ("very negative", "negative", "neutral", "positive", "very positive"),
    "mr": ("negative", "positive"),
    "trec": ("description", "entity", "abbreviation", "human", "location", "number"),
    "subj": ("subjective", "objective"),
}
FILES = {
    "sst2": {
        split: f"stsa.binary.{name}" for split, name in (("train", "train"), ("validation", "dev"), ("test",) * 2)
    },
    "sst5": {split: f"stsa.fine.{name}" for split, name in (("train", "train"), ("validation", "dev"), ("test",) * 2)},
    "trec": {"train": "TREC.train.all", "test": "TREC.test.all"},
    "subj": {"train": "subj.all"},
}
CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|re|ve|ll|d|m))\b", re.IGNORECASE)
WORD = re.compile(r"n't|'\w+|\w+(?:[-.]\w+)*|[^\w\s]", re.IGNORECASE)


class Labelled(NamedTuple):
    words: tuple[str, ...]
    label: int
    deciding: tuple[int, ...] = ()
    """The places of the words that decide, where they are known."""


def words_of(text: str) -> tuple[str, ...]:
    """The words and marks of a text as a person types it, in the form of the corpora: "don't" is "do n't"."""
    return tuple(WORD.findall(CLITIC.sub(r" \1", composed(text).replace("’", "'"))))


def found_file(folder: Path, name: str) -> Path:
    """A file of a corpus, plain or gzip.

    Raises:
        NotFound: there is no such folder or file.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder}: there is no such folder{against(folder)}")
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise NotFound(f"{folder} has neither {name} nor {name}.gz")


def lines_of(path: Path) -> list[str]:
    """The lines of a published file, some of which are Latin-1."""
    raw = bytes(read_unpacked(path))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return [composed(line).strip() for line in text.replace("\r\n", "\n").split("\n") if line.strip()]


def numbered(path: Path, classes: int) -> list[Labelled]:
    """The sentences of a file whose lines are a number and a sentence.

    Raises:
        InvalidInput: a line of another form; it names the line.
    """
    found = []
    for row, line in enumerate(lines_of(path), start=1):
        label, _, text = line.partition(" ")
        if not label.isdecimal() or int(label) >= classes or not text.strip():
            raise InvalidInput(f"{path}, line {row}: expected a number from 0 to {classes - 1} and a sentence")
        found.append(Labelled(tuple(text.split()), int(label)))
    return found


def published(corpus: str, folder: Path, seed: int) -> dict[str, list[Labelled]]:
    """The sentences of a corpus by split. Where a split is not published, a tenth is held out."""
    if corpus == "mr":
        sides = [lines_of(found_file(folder, f"rt-polarity.{name}")) for name in ("neg", "pos")]
        whole = [Labelled(tuple(line.split()), label) for label, lines in enumerate(sides) for line in lines]
        return held_out({"train": whole}, seed)
    files = FILES[corpus].items()
    return held_out({split: numbered(found_file(folder, name), len(CLASSES[corpus])) for split, name in files}, seed)


def own(paths: dict[str, Path | None], seed: int) -> tuple[dict[str, list[Labelled]], tuple[str, ...]]:
    """The sentences of files of one's own, and the classes: the labels of training, sorted.

    Raises:
        NotFound: there is no such file.
        InvalidInput: an empty file, a line of another form, one class only, or a label that training does not have.
    """
    rows: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for split, path in paths.items():
        if path is None:
            continue
        rows[split] = []
        for number, line in enumerate(read_lines(path), start=1):
            if not line.strip():
                continue
            label, tab, text = line.partition("\t")
            words = words_of(text)
            if not tab or not label.strip() or not words or "\t" in text:
                raise InvalidInput(f"{path}, line {number}: expected a label, a tab and a sentence, not {line[:60]!r}")
            rows[split].append((composed(label.strip()), words))
        if not rows[split]:
            raise InvalidInput(f"{path}: the file is empty")
    classes = tuple(sorted({label for label, _ in rows["train"]}))
    if len(classes) < 2:
        raise InvalidInput(f"{paths['train']}: expected two labels or more; every sentence is {classes[0]!r}")
    for split, found in rows.items():
        if unknown := sorted({label for label, _ in found} - set(classes)):
            raise InvalidInput(f"{paths[split]}: the training data have no label {unknown[0]!r}")
    labelled = {
        split: [Labelled(words, classes.index(label)) for label, words in found] for split, found in rows.items()
    }
    return held_out(labelled, seed), classes


def renumbered(
    splits: Mapping[str, list[Labelled]], there: Sequence[str], known: Sequence[str], name: Path | str
) -> dict[str, list[Labelled]]:
    """The sentences with the numbers that a model's classes have, found by their names. Names of which none is known,
    such as LABEL_0, are those of the data in the order of both.

    Raises:
        InvalidInput: a class that the model does not know, or, if it knows none of them, another number of classes.
    """
    if not set(there) & set(known) and len(there) == len(known):
        return dict(splits)
    if strange := [one for one in there if one not in known]:
        raise InvalidInput(
            f"{name} has a class {strange[0]!r} that the model does not know; its classes are {', '.join(known)}, "
            f"those of the data {', '.join(there)}"
        )
    numbers = [list(known).index(one) for one in there]
    return {split: [one._replace(label=numbers[one.label]) for one in rows] for split, rows in splits.items()}


def held_out(given: dict[str, list[Labelled]], seed: int) -> dict[str, list[Labelled]]:
    """Hold a tenth of the training sentences out for each split that is missing, from a seeded shuffle.

    Raises:
        InvalidInput: too few sentences.
    """
    train, missing = list(given["train"]), [split for split in ("test", "validation") if split not in given]
    found = dict(given)
    if missing:
        random.Random(f"split/{seed}").shuffle(train)
        count = len(train) // 10
        if not count:
            raise InvalidInput(f"expected at least 10 training sentences, to hold some out, not {len(train)}")
        for place, split in enumerate(missing):
            found[split] = train[place * count : (place + 1) * count]
        found["train"] = train[len(missing) * count :]
    return found


def lower(sentences: Sequence[Labelled]) -> list[Labelled]:
    return [one._replace(words=tuple(word.lower() for word in one.words)) for one in sentences]
