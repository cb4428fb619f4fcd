"""Photos and captions of one's own: lines path<tab>caption, or a dataset.json in Karpathy's form.

Karpathy & Fei-Fei 2015, arXiv:1412.2306: {"images": [{"filename": ..., "split": "train", "sentences": [{"raw": ...}]}]}
with the splits train, restval (which counts as train), val and test, and perhaps "filepath", the photo's folder.
"""

import json
import os
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import read_lines
from saccade.tasks.captions.config import CaptionsConfig
from saccade.tasks.captions.photos import Photo, Stored, caption_of
from saccade.tasks.captions.source import SPLITS

NAMES = {"train": "train", "restval": "train", "val": "validation", "validation": "validation", "test": "test"}


def read_own(config: CaptionsConfig) -> dict[str, list[Photo]]:
    """The photos of each split; one that has no file is held out of the training photos.

    Raises:
        NotFound: a file or a photo that does not exist, by its name.
        InvalidInput: a broken file, by its name and line; too few photos to hold some out.
    """
    train = config.train
    assert train is not None
    for name in SPLITS:
        if (path := getattr(config, name)) is not None and path.is_dir():
            raise InvalidInput(f"{path} is a folder; expected a file of lines path<tab>caption, or a dataset.json")
    if train.suffix == ".json":
        found = read_karpathy(train, config.photos or train.parent)
    else:
        if config.photos is not None:
            raise InvalidInput(f"photos is set, but {train} is no dataset.json; paths in it are relative to it")
        found = {"train": read_lines_of(train)}
    for split in SPLITS[1:]:
        path = getattr(config, split)
        if path is not None:
            found[split] = read_lines_of(path)
        elif split not in found:
            found["train"], found[split] = held_out(found["train"], split, train)
    return found


def read_lines_of(path: Path) -> list[Photo]:
    """Lines path<tab>caption; paths are relative to the file, and the lines of one photo are its captions."""
    found: dict[Path, list[str]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        columns, place = line.split("\t"), f"{path}, line {number}"
        if len(columns) != 2 or not columns[0].strip():
            raise InvalidInput(f"{place}: expected a path, a tab and a caption, found {line[:60]!r}")
        photo = path.parent / columns[0].strip()
        if photo not in found and not photo.is_file():
            raise NotFound(f"{place}: there is no photo {photo}")
        found.setdefault(photo, []).append(caption_of(columns[1], place))
    if not found:
        raise InvalidInput(f"{path} is empty; expected lines path<tab>caption")
    return [Photo(Stored(photo, str(photo)), tuple(captions)) for photo, captions in found.items()]


def read_karpathy(path: Path, folder: Path) -> dict[str, list[Photo]]:
    """The photos of a dataset.json by their splits; the entries of one photo are its captions."""
    try:
        images = json.loads("\n".join(read_lines(path)))["images"]
        rows = [(image["filename"], image.get("filepath", ""), image["split"],
                 [sentence["raw"] for sentence in image["sentences"]]) for image in images]  # fmt: skip
        for name, inner, split, sentences in rows:
            if not all(isinstance(text, str) for text in (name, inner, split, *sentences)):
                raise TypeError(f"filename, filepath, split and raw are texts, in the entry of {name!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(
            f'{path}: expected {{"images": [{{"filename": ..., "split": ..., "sentences": [{{"raw": ...}}]}}]}} '
            f"({type(error).__name__}: {error})"
        ) from None
    found: dict[str, dict[Path, tuple[str, ...]]] = defaultdict(dict)
    missing: list[Any] = []
    for name, inner, split, sentences in rows:
        if split not in NAMES:
            raise InvalidInput(f"{path}: {name} is in split {split!r}; expected one of {', '.join(NAMES)}")
        if not sentences:
            raise InvalidInput(f"{path}: {name} has no caption")
        places = [place for place in (folder / inner / name, folder / name) if place.is_file()]
        if not places:
            missing.append(folder / inner / name)
            continue
        captions = tuple(caption_of(text, f"{path}, {name}") for text in sentences)
        there = found[NAMES[split]]
        there[places[0]] = (*there.get(places[0], ()), *captions)
    if missing:
        raise NotFound(
            f"{path}: there is no photo {missing[0]}, one of {len(missing):,} missing of {len(rows):,}; name the "
            "folder of the photos with --task.photos FOLDER"
        )
    if "train" not in found:
        raise InvalidInput(f"{path}: no photo is in the split train")
    return {
        split: [Photo(Stored(photo, str(photo)), captions) for photo, captions in photos.items()]
        for split, photos in found.items()
    }


def held_out(photos: list[Photo], split: str, path: Path) -> tuple[list[Photo], list[Photo]]:
    """(kept, held out): about a tenth of the photos, chosen by their names, so that photos that are added later do not
    move others from one split to another.

    Raises:
        InvalidInput: fewer than two photos.
    """
    if len(photos) < 2:
        raise InvalidInput(f"{path} has too few photos to hold some out for {split}; name a file: --task.{split} FILE")
    names = [os.path.relpath(photo.stored.file, path.parent).replace(os.sep, "/") for photo in photos]
    draws = [random.Random(f"{split}/{name}").random() for name in names]
    most = max(0.1, min(draws))  # at least one
    kept = [photo for photo, draw in zip(photos, draws, strict=True) if draw > most]
    chosen = [photo for photo, draw in zip(photos, draws, strict=True) if draw <= most]
    return (kept, chosen) if kept else (chosen[1:], chosen[:1])
