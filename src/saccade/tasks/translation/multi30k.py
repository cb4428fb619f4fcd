"""Multi30k, task 1: captions of photographs and their translations (Elliott et al. 2016, arXiv:1605.00459).

29,000 pairs to train on, 1,014 to validate, and the 1,000 of the 2016 test set, from raw text: from a folder that holds
the published files (`train.de`, `val.de`, `test_2016_flickr.de`, ..., plain or gzip), or from the hub. The captions are
for research that is not commercial.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saccade.core.errors import InvalidInput, NotFound, require
from saccade.tasks.translation.parallel_text import Pair, read_pairs

STEMS = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
HUB = "bentrevett/multi30k"
"""A data set of the hub with the columns `de` and `en`; its test split is that of 2016."""


def multi30k_pairs(split: str, languages: Sequence[str], folder: Path | None) -> list[Pair]:
    """The pairs of a split, from the first language to the second.

    Raises:
        NotFound: no such folder, or no file of that language in it.
        MissingExtra: no folder was given, and the hub's library is not installed.
    """
    if folder is None:
        return from_hub(split, languages)
    if not folder.is_dir():
        raise NotFound(f"{folder}: there is no such folder")
    return read_pairs([find(folder, STEMS[split], language) for language in languages])


def find(folder: Path, stem: str, language: str) -> Path:
    """The file of a language, plain or gzip."""
    for name in (f"{stem}.{language}", f"{stem}.{language}.gz"):
        if (folder / name).is_file():
            return folder / name
    there = sorted({path.name.split(".")[1] for path in folder.glob(f"{stem}.??") if path.is_file()})
    there += sorted({path.name.split(".")[1] for path in folder.glob(f"{stem}.??.gz") if path.is_file()})
    languages = f"there are: {', '.join(there)}" if there else f"no {stem}.* is there"
    raise NotFound(f"{folder} has no {stem}.{language} or {stem}.{language}.gz; {languages}")


def from_hub(split: str, languages: Sequence[str]) -> list[Pair]:
    """The pairs as the hub has them.

    Raises:
        MissingExtra: its library is not installed.
        InvalidInput: it could not be read, or lacks a language.
    """
    datasets: Any = require("datasets", "hub")
    try:
        rows = datasets.load_dataset(HUB, split=split)
    except Exception as error:  # network, authentication, a moved data set: each with a class of its own
        raise InvalidInput(
            f"Multi30k could not be had from the hub ({type(error).__name__}: {error}); "
            "give a folder that holds it: --task.folder FOLDER"
        ) from error
    for language in languages:
        if language not in rows.column_names:
            raise InvalidInput(f"the hub's {HUB} has no {language!r}; there are: {', '.join(rows.column_names)}")
    source, target = (rows[language] for language in languages)
    return [(" ".join(s.split()), " ".join(t.split())) for s, t in zip(source, target, strict=True)]
