"""A folder of aligned files, one for each language and split: train.de, train.en, val.de, ..., plain or gzip."""

from collections.abc import Sequence
from pathlib import Path

from saccade.core.errors import NotFound
from saccade.core.files import against
from saccade.tasks.translation.parallel_text import Pair, read_pairs

STEMS = {
    "train": ("train",),
    "validation": ("val", "validation", "valid", "dev"),
    "test": ("test", "test_2016_flickr"),
}
"""Names of the files of a split; test_2016_flickr is Multi30k's."""


def folder_pairs(folder: Path, split: str, languages: Sequence[str]) -> list[Pair] | None:
    """The pairs of a split, from the first language to the second; None if the folder does not have the split.

    Raises:
        NotFound: no such folder, no training files, or no file of one of the languages.
    """
    if not folder.is_dir():
        why = "a file, not a folder" if folder.exists() else f"there is no such folder{against(folder)}"
        raise NotFound(f"{folder}: {why}")
    for stem in STEMS[split]:
        # train.de takes precedence over train.de.gz; train.tok.de is not such a file
        found = [path for path in sorted(folder.glob(f"{stem}.*"), reverse=True) if path.is_file()]
        there = {name_language(path): path for path in found if path.name.split(".")[1] == name_language(path)}
        there = dict(sorted(there.items()))
        if missing := [language for language in languages if language not in there]:
            if len(missing) == 1 or (there and split == "train"):
                names = f"{stem}.{missing[0]} or {stem}.{missing[0]}.gz"
                raise NotFound(f"{folder} has no {names}; --task.languages takes two of: {', '.join(there)}")
            continue
        return read_pairs([there[language] for language in languages])
    if split == "train":
        raise NotFound(f"{folder} has no train.{languages[0]} and no train.{languages[1]}")
    return None


def name_language(path: Path) -> str:
    """ "de" for train.de and train.de.gz."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix[1:]
